#!/usr/bin/env bash
# Python packages for tests and measurements, in an environment of their own in the cache folder.
#
#   python.sh install         clients and the S3 stand-in (pinotdb, SQLAlchemy, moto)
#   python.sh install-registry   the reference serializers of schema registries
#   python.sh install-peers   chDB and DuckDB, for measurements
#   python.sh path NAME       the path of a program of that environment
set -euo pipefail
cache=${XDG_CACHE_HOME:-$HOME/.cache}/weir
venv=$cache/venv
tests=("pinotdb==9.2.2" "sqlalchemy==2.1.9" "moto[server]==5.2.5")
# Behind confluent-kafka: what its serializers import.
registry=("confluent-kafka==2.16.1" "fastavro==1.13.1" "jsonschema==4.26.0" "protobuf==7.36.2" "googleapis-common-protos" "httpx" "authlib" "cachetools" "attrs")
peers=("duckdb==2.0.0" "chdb==3.7.2")

packages() {
  local stamp=$venv/.$1 want
  shift
  want=$(printf '%s\n' "$@")
  [ "$(cat "$stamp" 2>/dev/null)" = "$want" ] && return
  [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet "$@"
  printf '%s\n' "$@" > "$stamp"
}

case ${1:-} in
  install) packages tests "${tests[@]}" ;;
  install-registry) packages registry "${registry[@]}" ;;
  install-peers) packages peers "${peers[@]}" ;;
  path) echo "$venv/bin/${2:?which program?}" ;;
  *) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; exit 2 ;;
esac
