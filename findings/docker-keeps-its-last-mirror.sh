#!/usr/bin/env bash
# Docker Engine 20.10.24 takes a new mirror at SIGHUP, and keeps the last one when `registry-mirrors` is taken out of the file.
#
# Its documentation lists `registry-mirrors` among the options that can be reloaded. A reload passes over options that the file
# does not name, so one that was taken out stays in force until the engine is restarted; an empty list does take it away. Whoever
# puts /etc/docker/daemon.json back as it was has an engine that goes on asking a mirror which the file does not have.
#
# Needs root on Debian 12, whose packages of that version are unpacked into a temporary folder. Exits with 1 when any of this changes.
set -euo pipefail
folder=$(mktemp -d)
daemon=
trap 'if [ -n "$daemon" ]; then kill "$daemon"; wait "$daemon" || true; fi; rm -rf "$folder"' EXIT
cd "$folder"

mkdir packages
chmod 755 "$folder" packages
(cd packages && apt-get download -q docker.io=20.10.24+dfsg1-1+deb12u1+b6 containerd=1.6.20~ds1-1+deb12u3 runc >apt.log 2>&1) ||
  { cat packages/apt.log; exit 1; }
for package in packages/*.deb; do dpkg -x "$package" root; done
export PATH="$folder/root/usr/sbin:$folder/root/usr/bin:$PATH" HOME="$folder"

echo '{}' >daemon.json
dockerd --config-file "$folder/daemon.json" --data-root "$folder/data" --exec-root "$folder/run" --pidfile "$folder/docker.pid" --host "unix://$folder/docker.sock" \
  --bridge none --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false --storage-driver vfs >dockerd.log 2>&1 &
daemon=$!
mirrors() { curl -sf --unix-socket docker.sock http://docker/info | python3 -c 'import json, sys; print(json.load(sys.stdin)["RegistryConfig"]["Mirrors"])'; }
for _ in $(seq 300); do mirrors >/dev/null 2>&1 && break; sleep 0.1; done
mirrors >/dev/null || { tail dockerd.log; exit 1; }

reload() { # what the file says from now on
  local before
  before=$(grep -c 'Reloaded configuration' dockerd.log || true)
  echo "$1" >daemon.json
  kill -HUP "$daemon"
  for _ in $(seq 100); do [ "$(grep -c 'Reloaded configuration' dockerd.log || true)" -gt "$before" ] && break; sleep 0.1; done
  echo "$1: $(mirrors)"
}
{
  curl -sf --unix-socket docker.sock http://docker/version | python3 -c 'import json, sys; print(json.load(sys.stdin)["Version"])'
  reload '{"registry-mirrors": ["http://127.0.0.1:5001"]}'
  reload '{"registry-mirrors": ["http://127.0.0.1:5002"]}'
  reload '{}'
  reload '{"registry-mirrors": []}'
} | tee seen
diff - seen <<'SEEN'
20.10.24+dfsg1
{"registry-mirrors": ["http://127.0.0.1:5001"]}: ['http://127.0.0.1:5001/']
{"registry-mirrors": ["http://127.0.0.1:5002"]}: ['http://127.0.0.1:5002/']
{}: ['http://127.0.0.1:5002/']
{"registry-mirrors": []}: []
SEEN
