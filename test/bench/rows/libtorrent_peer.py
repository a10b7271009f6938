"""One peer with libtorrent, as a process: libtorrent_peer.py send|receive <save path> <torrent file>.

What it says and hears is in peer-process.ts.
"""

import json
import re
import resource
import sys
import time

import libtorrent as lt

# What helps on loopback between two peers that know each other; no limits, no discovery, TCP only.
SETTINGS = {
    "listen_interfaces": "127.0.0.1:0",
    "enable_incoming_utp": False,
    "enable_outgoing_utp": False,
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "in_enc_policy": int(lt.enc_policy.disabled),
    "out_enc_policy": int(lt.enc_policy.disabled),
    "allow_multiple_connections_per_ip": True,
    "ssrf_mitigation": False,
    "upload_rate_limit": 0,
    "download_rate_limit": 0,
    "unchoke_slots_limit": -1,
    # A seeder unchokes in its tick: with the default of 500 ms, each transfer began with half a second of nothing.
    "tick_interval": 100,
    "connection_speed": 500,
    "smooth_connects": False,
    "request_queue_time": 10,
    "max_out_request_queue": 4000,
    "max_allowed_in_request_queue": 8000,
    "send_buffer_low_watermark": 1024 * 1024,
    "send_buffer_watermark": 16 * 1024 * 1024,
    "send_buffer_watermark_factor": 200,
    "max_queued_disk_bytes": 64 * 1024 * 1024,
    "aio_threads": 4,
    "hashing_threads": 2,
    "close_redundant_connections": False,
    "no_atime_storage": True,
    "alert_mask": lt.alert.category_t.status_notification
    | lt.alert.category_t.storage_notification
    | lt.alert.category_t.error_notification,
}

FLUSH_TIMEOUT_SECONDS = 60
cpu_before = 0.0


def main():
    role, save_path, torrent_path = sys.argv[1:]
    session = lt.session(SETTINGS)
    parameters = lt.add_torrent_params()
    parameters.ti = lt.torrent_info(torrent_path)
    parameters.save_path = save_path
    flags = lt.torrent_flags
    parameters.flags &= ~(flags.auto_managed | flags.paused)
    if role == "send":
        parameters.flags |= flags.seed_mode
    torrent = session.add_torrent(parameters)
    wanted = lt.torrent_status.seeding if role == "send" else lt.torrent_status.downloading
    while torrent.status().state != wanted or session.listen_port() == 0:
        time.sleep(0.01)
    count()
    say(kind="ready", port=session.listen_port())
    for line in sys.stdin:
        question = json.loads(line)
        if question["kind"] == "count":
            count()
            say(kind="counting")
        elif question["kind"] == "usage":
            say(kind="usage", **usage())
        elif question["kind"] == "fetch":
            seconds = fetch(session, torrent, question["port"])
            say(kind="done", seconds=seconds, **usage())


def fetch(session, torrent, port):
    """Until every piece was verified and is in the file."""
    count()
    session.pop_alerts()
    start = time.monotonic()
    torrent.connect_peer(("127.0.0.1", port))
    wait_for(session, lt.torrent_finished_alert, None)
    torrent.flush_cache()
    wait_for(session, lt.cache_flushed_alert, FLUSH_TIMEOUT_SECONDS)
    return time.monotonic() - start


def wait_for(session, kind, timeout_seconds):
    deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    while deadline is None or time.monotonic() < deadline:
        session.wait_for_alert(1000)
        for alert in session.pop_alerts():
            if isinstance(alert, kind):
                return
            if isinstance(alert, (lt.torrent_error_alert, lt.file_error_alert)):
                sys.exit(alert.message())
    sys.exit(f"no {kind.__name__} within {timeout_seconds} s")


def count():
    global cpu_before
    cpu_before = cpu_seconds()


def cpu_seconds():
    own = resource.getrusage(resource.RUSAGE_SELF)
    return own.ru_utime + own.ru_stime


def usage():
    with open("/proc/self/status", encoding="ascii") as status:
        kibibytes = int(re.search(r"^VmHWM:\s+(\d+) kB", status.read(), re.MULTILINE)[1])
    return {"cpuSeconds": cpu_seconds() - cpu_before, "peakRssMB": round(kibibytes * 1024 / 1e6, 1)}


def say(**answer):
    print(json.dumps(answer), flush=True)


main()
