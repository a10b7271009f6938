#!/usr/bin/env bash
# torf 4.3.1 (PyPI) and parse-torrent 11.0.24 (npm) take the pad files of a torrent for files of its content.
#
# libtorrent 2.1.1 makes torrents of folders that v1 and v2 clients can read; in their v1 part every file begins at a piece,
# and the gaps are entries with the attribute `p` (BEP 47), which nobody stores. libtorrent itself finds the folder complete.
# torf misses `.pad/…` on disk, so the folder that the torrent was just made of fails its check, and both tell a size that
# has the gaps in it: 196608 where the content has 110000 bytes. (This libtorrent pads behind the last file, too.)
#
# Needs Python 3.9 or newer with venv, Node 20 or newer with npm. Exits with 1 when any of this changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check libtorrent==2.1.1 torf==4.3.1
npm init --yes >npm.log
npm install --ignore-scripts --no-audit --no-fund parse-torrent@11.0.24 >>npm.log

mkdir -p content/b
head -c 100000 /dev/zero | tr '\0' a >content/a.bin
head -c 10000 /dev/zero | tr '\0' b >content/b/b.bin

cat >make.py <<'PY'
import libtorrent as lt
made = lt.create_torrent(lt.list_files("content"), piece_size=65536)
lt.set_piece_hashes(made, ".")
open("content.torrent", "wb").write(lt.bencode(made.generate()))
session = lt.session({"listen_interfaces": "127.0.0.1:0", "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False})
wish = lt.load_torrent_file("content.torrent")
wish.save_path = "."
handle = session.add_torrent(wish)
for _ in range(100):
    session.wait_for_alert(100)
    session.pop_alerts()
    if handle.status().is_seeding:
        break
print("libtorrent finds it complete:", handle.status().is_seeding)
PY
cat >check.py <<'PY'
import torf
read = torf.Torrent.read("content.torrent")
print("torf:", read.size, [str(file) for file in read.files])
try:
    print("torf finds it complete:", read.verify("content"))
except torf.TorfError as error:
    print("torf:", error)
PY
cat >check.mjs <<'JS'
import { readFileSync } from 'node:fs'
import parseTorrent from 'parse-torrent'
const { length, files } = await parseTorrent(readFileSync('content.torrent'))
console.log('parse-torrent:', length, files.map(({ path }) => path).join(' '))
JS
{
  python/bin/python -W ignore make.py
  python/bin/python check.py
  node check.mjs
} | tee seen
diff - seen <<'SEEN'
libtorrent finds it complete: True
torf: 196608 ['content/a.bin', 'content/.pad/31072', 'content/b/b.bin', 'content/.pad/55536']
torf: content/.pad/31072: No such file or directory
parse-torrent: 196608 content/a.bin content/.pad/31072 content/b/b.bin content/.pad/55536
SEEN
