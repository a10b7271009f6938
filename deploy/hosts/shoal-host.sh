#!/bin/sh
# Runs Shoal's services as containers on a host without an orchestrator, with Docker or podman. See docs/install/hosts.md.
#
#     shoal-host.sh up seeder --listen 10.0.0.10:7000 --peer-listen 10.0.0.10:7001
#     ssh root@10.0.0.21 sh -s -- up agent --seeder http://10.0.0.10:7000 --peer-listen 10.0.0.21:6001 < shoal-host.sh
#
# Run twice it changes nothing; with other settings it replaces the container and keeps the data.
set -eu

IMAGE=${SHOAL_IMAGE:-registry.example.com/shoal:0.1.0}
READY_SECONDS_MAX=60
# Above the ten seconds that a service takes at most.
STOP_SECONDS_MAX=15

usage() {
  cat >&2 <<'TEXT'
usage: shoal-host.sh up seeder|agent [SETTINGS]   start it, or replace it when the settings changed
       shoal-host.sh down [seeder|agent]          stop and remove; the data stays in the volume
       shoal-host.sh status                       one line for each; 0 when all that is here is ready

SETTINGS are the flags of `shoal seeder` and `shoal agent`: --listen, --peer-listen, --seeder, --cache-max-bytes, ...
Variables: SHOAL_IMAGE, the image; SHOAL_ENGINE, docker or podman, where both are installed; SHOAL_ENV_FILE, a file of
VARIABLE=value lines for the service, such as credentials of a bucket.
TEXT
  exit 2
}

fail() {
  echo "shoal-host: $1" >&2
  exit 1
}

main() {
  [ $# -ge 1 ] || usage
  action=$1
  shift
  case $action in
    up)
      [ $# -ge 1 ] || usage
      role=$1
      shift
      is_role "$role" || usage
      find_engine
      up "$role" "$@"
      ;;
    down)
      [ $# -le 1 ] || usage
      [ $# -eq 0 ] || is_role "$1" || usage
      find_engine
      for role in ${1:-agent seeder}; do down "$role"; done
      ;;
    status)
      [ $# -eq 0 ] || usage
      find_engine
      status
      ;;
    *) usage ;;
  esac
}

is_role() {
  [ "$1" = seeder ] || [ "$1" = agent ]
}

find_engine() {
  if [ -n "${SHOAL_ENGINE:-}" ]; then
    engine=$SHOAL_ENGINE
    command -v "$engine" >/dev/null 2>&1 || fail "$engine is not on PATH; check SHOAL_ENGINE"
  elif command -v docker >/dev/null 2>&1; then
    engine=docker
  elif command -v podman >/dev/null 2>&1; then
    engine=podman
  else
    fail 'neither docker nor podman is on PATH; install one of them'
  fi
  "$engine" info >/dev/null 2>&1 || fail "$engine does not answer; is it running, and may $(id -un) use it?"
}

up() {
  role=$1
  name=shoal-$role
  shift
  image=$(image_id)
  if [ -z "$image" ]; then
    echo "pulling $IMAGE"
    "$engine" pull "$IMAGE" >/dev/null || fail "$IMAGE is neither here nor can it be pulled; build it with deploy/Dockerfile and push it, or name it in SHOAL_IMAGE"
    image=$(image_id)
  fi
  listen=$(setting --listen "$@")
  env_file=
  if [ -n "${SHOAL_ENV_FILE:-}" ]; then
    [ -r "$SHOAL_ENV_FILE" ] || fail "$SHOAL_ENV_FILE cannot be read; check SHOAL_ENV_FILE"
    env_file=$(cat "$SHOAL_ENV_FILE")
  fi
  # What makes two containers the same.
  wanted=$(printf '%s\n' "$image" "$env_file" "$@" | cksum | tr ' ' -)
  if [ "$(label "$name")" = "$wanted" ]; then
    if [ "$(state "$name")" = running ]; then
      echo "$name runs already"
      return
    fi
    "$engine" start "$name" >/dev/null || fail "$engine could not start $name; its own words are above"
    until_ready "$name" "$role"
    return
  fi
  remove "$name"
  # The flags reach the service; the address also reaches the health check, which cannot see them.
  "$engine" run -d --name "$name" --label "shoal.settings=$wanted" \
    --network host --restart unless-stopped \
    --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges \
    --stop-timeout "$STOP_SECONDS_MAX" \
    --volume "$name:/var/lib/shoal" \
    ${listen:+--env "SHOAL_LISTEN=$listen"} \
    ${env_file:+--env-file "$SHOAL_ENV_FILE"} \
    "$IMAGE" "$role" "$@" >/dev/null || {
    "$engine" rm -f "$name" >/dev/null 2>&1 || true
    fail "$engine could not start $name; its own words are above"
  }
  until_ready "$name" "$role"
}

# The value of one of the flags, as `--flag value` or `--flag=value`.
setting() {
  wanted_flag=$1
  shift
  while [ $# -gt 0 ]; do
    case $1 in
      "$wanted_flag")
        [ $# -ge 2 ] || fail "$1 has no value"
        printf '%s' "$2"
        return
        ;;
      "$wanted_flag"=*)
        printf '%s' "${1#*=}"
        return
        ;;
    esac
    shift
  done
}

until_ready() {
  seconds=0
  until "$engine" exec "$1" shoal health "$2" >/dev/null 2>&1; do
    seconds=$((seconds + 1))
    # A service that ended is not waited for, however often the engine starts it again.
    if [ "$seconds" -gt "$READY_SECONDS_MAX" ] || [ "$(restarts "$1")" -gt 0 ] || [ "$(state "$1")" = exited ]; then
      "$engine" logs --tail 5 "$1" >&2
      "$engine" stop "$1" >/dev/null 2>&1 || true
      fail "$1 is not ready, and is stopped now; its last lines are above"
    fi
    sleep 1
  done
  echo "$1 is ready"
}

down() {
  name=shoal-$1
  if [ -z "$(state "$name")" ]; then
    echo "$name is not here"
    return
  fi
  remove "$name"
  echo "$name is removed; its data stays in the volume $name ($engine volume rm $name deletes it)"
}

remove() {
  [ -n "$(state "$1")" ] || return 0
  "$engine" stop "$1" >/dev/null 2>&1 || true
  "$engine" rm -f "$1" >/dev/null
}

status() {
  seen=0
  wrong=0
  for role in seeder agent; do
    name=shoal-$role
    [ -n "$(state "$name")" ] || continue
    seen=$((seen + 1))
    if ready=$("$engine" exec "$name" shoal health "$role" 2>&1); then
      echo "$name: $ready"
    else
      wrong=1
      echo "$name: $(state "$name"), not ready; see $engine logs $name"
    fi
  done
  [ "$seen" -gt 0 ] || fail 'no service of Shoal is here; start one with: shoal-host.sh up seeder|agent'
  return "$wrong"
}

image_id() {
  "$engine" image inspect --format '{{.Id}}' "$IMAGE" 2>/dev/null || true
}

# Nothing where there is no such container.
state() {
  "$engine" container inspect --format '{{.State.Status}}' "$1" 2>/dev/null || true
}

restarts() {
  "$engine" container inspect --format '{{.RestartCount}}' "$1" 2>/dev/null || echo 0
}

label() {
  "$engine" container inspect --format '{{index .Config.Labels "shoal.settings"}}' "$1" 2>/dev/null || true
}

main "$@"
