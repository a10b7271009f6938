"""libtorrent as its users have it, with its own defaults but for discovery and encryption.

libtorrent_client.py [--listen=<address>:<port>] <save path> <torrent file> [<host> <port> of a peer]
Writes "listening <port>", and "complete" once every piece is verified and in the file; then serves until it is ended. With a
tracker in the torrent, it asks for a scrape before it begins, and writes "scraped <seeds>", or why that failed.
"""

import sys

import libtorrent as lt

# What is listened for below and nothing else: of all categories there are thousands of alerts, and once the binding ended with
# a segmentation fault among them.
ALERTS = (
    lt.alert.category_t.error_notification
    | lt.alert.category_t.status_notification
    | lt.alert.category_t.storage_notification
    | lt.alert.category_t.connect_notification
    | lt.alert.category_t.peer_notification
    | lt.alert.category_t.tracker_notification
)

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
    "alert_mask": ALERTS,
}


def main():
    words = sys.argv[1:]
    settings = dict(SETTINGS)
    if words[0].startswith("--listen="):
        settings["listen_interfaces"] = words.pop(0).partition("=")[2]
    save_path, torrent_path, *peer = words
    session = lt.session(settings)
    parameters = lt.add_torrent_params()
    parameters.ti = lt.torrent_info(torrent_path)
    parameters.save_path = save_path
    torrent = session.add_torrent(parameters)
    if torrent.trackers():
        torrent.scrape_tracker()
    while True:
        session.wait_for_alert(1000)
        for alert in session.pop_alerts():
            if isinstance(alert, lt.listen_succeeded_alert):
                say(f"listening {alert.port}")
            elif isinstance(alert, lt.torrent_checked_alert) and peer:
                torrent.connect_peer((peer[0], int(peer[1])))
            elif isinstance(alert, lt.torrent_finished_alert):
                torrent.flush_cache()
            elif isinstance(alert, lt.cache_flushed_alert) and torrent.status().is_seeding:
                say("complete")
            elif isinstance(alert, lt.scrape_reply_alert):
                say(f"scraped {alert.complete}")
            elif isinstance(alert, lt.scrape_failed_alert):
                say(alert.message())
            elif isinstance(alert, (lt.torrent_error_alert, lt.file_error_alert, lt.listen_failed_alert)):
                sys.exit(alert.message())
            elif isinstance(alert, (lt.peer_disconnected_alert, lt.peer_error_alert)):
                say(alert.message())


def say(line):
    print(line, flush=True)


main()
