"""libtorrent_client.py <torrent> <folder> <port>: downloads or seeds one file until it is killed.

Says "listening" when it can be dialled, and "whole" when the file is.
"""

import sys
import time

import libtorrent as lt


def main():
    torrent_path, folder, port = sys.argv[1:]
    session = lt.session(
        {
            "listen_interfaces": f"127.0.0.1:{port}",
            "enable_incoming_utp": False,
            "enable_outgoing_utp": False,
            "enable_dht": False,
            "enable_lsd": False,
            "enable_upnp": False,
            "enable_natpmp": False,
            "in_enc_policy": int(lt.enc_policy.disabled),
            "out_enc_policy": int(lt.enc_policy.disabled),
            "ssrf_mitigation": False,
        }
    )
    parameters = lt.add_torrent_params()
    parameters.ti = lt.torrent_info(torrent_path)
    parameters.save_path = folder
    torrent = session.add_torrent(parameters)
    checking = (lt.torrent_status.checking_files, lt.torrent_status.checking_resume_data)
    while torrent.status().state in checking or session.listen_port() == 0:
        time.sleep(0.02)
    print("listening", flush=True)
    while not torrent.status().is_seeding:
        time.sleep(0.02)
    torrent.flush_cache()
    while not any(isinstance(alert, lt.cache_flushed_alert) for alert in session.pop_alerts()):
        session.wait_for_alert(100)
    print("whole", flush=True)
    while True:
        time.sleep(1)


main()
