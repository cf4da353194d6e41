#!/usr/bin/env bash
# One Apache Pulsar standalone node (broker, bookie, RocksDB metadata) on the loopback address, for tests.
#
#   pulsar.sh install                    copy the jars named in pom.xml into the cache (Maven, once)
#   pulsar.sh start                      start the node; returns when it passes its own health check; no harm when it runs
#   pulsar.sh stop                       stop it; the data stay
#   pulsar.sh wipe                       stop it and delete its data
#   pulsar.sh topic NAME PARTITIONS      create a topic in public/default (0: not partitioned); no harm when it exists
#   pulsar.sh admin METHOD PATH [JSON]   one call of the admin REST API, e.g. GET /admin/v2/persistent/public/default
#   pulsar.sh status                     one line; exit status 0 running, 3 stopped
#
# Environment (defaults in brackets):
#   PULSAR_CACHE   jars [${XDG_CACHE_HOME:-~/.cache}/weir/pulsar]
#   PULSAR_PORT    client port; the next one serves HTTP (admin), the one after is the bookie's [6650]
#   PULSAR_DATA    data, log, pid and settings of this node [$PULSAR_CACHE/node-$PULSAR_PORT]
#   PULSAR_HEAP    Java heap, and as much again off the heap at most [256m]
#   PULSAR_WAIT    seconds that start and stop wait at most [90]
#   PULSAR_SECURE  1: clients need a token, and a fourth port (port+3) takes TLS; certificates are made with openssl []
#                  In $PULSAR_DATA/secure: ca.pem, other-ca.pem (of an authority that did not sign), key (of the tokens);
#                  admin.token may do everything, reader.token consumes topics of public/default, stranger.token nothing
#   PULSAR_PREFIX  a command put before java, e.g. "taskset -c 0" []
#   JAVA_HOME      a JDK of version 17 [java on the PATH]
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${PULSAR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/weir/pulsar}
port=${PULSAR_PORT:-6650}
data=${PULSAR_DATA:-$cache/node-$port}
heap=${PULSAR_HEAP:-256m}
wait_s=${PULSAR_WAIT:-90}
java=${JAVA_HOME:+$JAVA_HOME/bin/}java
secure=${PULSAR_SECURE:-}
keys=$data/secure
conf=$data/standalone.conf
log=$data/pulsar.log
pidfile=$data/pulsar.pid

die() { echo "pulsar.sh: $*" >&2; exit 1; }

usage() { sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; }

# The pid of this node, if it runs: the process must be the one that was started with our settings file.
running() {
  local pid
  [ -s "$pidfile" ] || return 1
  pid=$(cat "$pidfile")
  ps -p "$pid" -o args= 2>/dev/null | grep -qF -- "$conf" || return 1
  echo "$pid"
}

accepts() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

http() {  # METHOD PATH [JSON]: prints the body; fails unless the status is 2xx
  local body=${3:-} line status login=
  [ ! -f "$keys/admin.token" ] || login="Authorization: Bearer $(cat "$keys/admin.token")"$'\r\n'
  exec 3<>"/dev/tcp/127.0.0.1/$((port + 1))"
  printf '%s %s HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s' "$1" "$2" "$login" "${#body}" "$body" >&3
  read -r _ status _ <&3
  while IFS= read -r line <&3 && [ "$line" != $'\r' ]; do :; done
  cat <&3
  exec 3>&-
  case $status in 2*) ;; *) echo "HTTP $status" >&2; return 1 ;; esac
}

install() {
  local want
  want=$(cksum < "$here/pulsar/pom.xml")
  [ "$(cat "$cache/lib/.pom" 2>/dev/null)" = "$want" ] && return
  command -v mvn >/dev/null || die "install needs Maven (mvn) on the PATH"
  rm -rf "${cache:?}/lib"
  mkdir -p "$cache/lib"
  mvn -q -B -Dstyle.color=never -f "$here/pulsar/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$cache/lib"
  echo "$want" > "$cache/lib/.pom"
}

settings() {
  cat > "$conf" <<PROPERTIES
clusterName=standalone
bindAddress=127.0.0.1
advertisedAddress=127.0.0.1
brokerServicePort=$port
webServicePort=$((port + 1))
metadataStoreUrl=
configurationMetadataStoreUrl=
numIOThreads=2
numHttpServerThreads=4
numExecutorThreadPoolSize=2
managedLedgerDefaultEnsembleSize=1
managedLedgerDefaultWriteQuorum=1
managedLedgerDefaultAckQuorum=1
managedLedgerCacheSizeMB=32
allowAutoTopicCreationType=non-partitioned
brokerDeleteInactiveTopicsEnabled=false
defaultRetentionTimeInMinutes=-1
defaultRetentionSizeInMB=-1
loadBalancerEnabled=false
webSocketServiceEnabled=false
# The bookie reads this file too. Without allowEphemeralPorts it ignores its port argument, takes a random one, and after a
# restart no longer recognises its data.
allowEphemeralPorts=true
listeningInterface=lo
allowLoopback=true
journalSyncData=false
diskUsageThreshold=0.999
diskUsageWarnThreshold=0.99
dbStorage_writeCacheMaxSizeMb=16
dbStorage_readAheadCacheMaxSizeMb=8
PROPERTIES
  [ "$secure" != 1 ] || secure_settings >> "$conf"
  cat > "$data/log4j2.properties" <<'PROPERTIES'
status=error
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %p %c{1}: %m%n
rootLogger.level=info
rootLogger.appenderRef.out.ref=out
PROPERTIES
}

secure_settings() {
  cat <<PROPERTIES
authenticationEnabled=true
authorizationEnabled=true
authenticationProviders=org.apache.pulsar.broker.authentication.AuthenticationProviderToken
tokenSecretKey=file://$keys/key
superUserRoles=admin
brokerClientAuthenticationPlugin=org.apache.pulsar.client.impl.auth.AuthenticationToken
brokerClientAuthenticationParameters=token:$(cat "$keys/admin.token")
brokerServicePortTls=$((port + 3))
tlsCertificateFilePath=$keys/server.pem
tlsKeyFilePath=$keys/server.key
PROPERTIES
}

# A key with the tokens of three roles, and an authority with a certificate for the node.
secrets() {
  local role
  [ ! -f "$keys/admin.token" ] || return 0
  command -v openssl > /dev/null || die "PULSAR_SECURE needs openssl on the PATH"
  mkdir -p "$keys"
  openssl rand 32 > "$keys/key"
  certificate ca "weir test CA"
  certificate server localhost ca
  certificate other-ca "another CA"
  for role in stranger reader admin; do token "$role" > "$keys/$role.token"; done
}

base64url() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }

token() {  # ROLE: as pulsar's own tool makes it
  local text
  text=$(printf '{"alg":"HS256"}' | base64url).$(printf '{"sub":"%s"}' "$1" | base64url)
  printf '%s.%s' "$text" "$(printf '%s' "$text" | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$(od -An -tx1 -v "$keys/key" | tr -d ' \n')" -binary | base64url)"
}

certificate() {  # NAME COMMON-NAME [AUTHORITY]: without an authority it is one itself
  local new=(openssl req -newkey rsa:2048 -nodes -subj "/CN=$2" -keyout "$keys/$1.key")
  if [ $# -lt 3 ]; then
    "${new[@]}" -x509 -days 3650 -addext basicConstraints=critical,CA:TRUE -out "$keys/$1.pem"
  else
    "${new[@]}" | openssl x509 -req -CA "$keys/$3.pem" -CAkey "$keys/$3.key" -CAcreateserial -days 3650 \
      -extfile <(echo "subjectAltName=DNS:localhost,IP:127.0.0.1") -out "$keys/$1.pem"
  fi 2> "$keys/openssl.log" || { cat "$keys/openssl.log" >&2; die "could not make the certificate $1"; }
}

no_start() {  # message
  echo "--- last lines of $log" >&2
  tail -n 25 "$log" >&2 || true
  die "$1"
}

start() {
  local pid p
  if pid=$(running); then
    echo "pulsar runs: pid $pid, pulsar://127.0.0.1:$port"
    return
  fi
  [ -f "$cache/lib/.pom" ] || die "no jars in $cache/lib: run 'pulsar.sh install' first"
  for p in "$port" $((port + 1)) $((port + 2)); do
    if accepts "$p"; then die "port $p is taken by another process"; fi
  done
  mkdir -p "$data"
  [ "$secure" != 1 ] || secrets
  settings
  if [ -e "$pidfile" ]; then
    # It was killed, not stopped. The next node then fights with its own old bookie registration and stays without a writable
    # bookie ("Not enough non-faulty bookies available"); one clean stop clears that.
    launch accepts $((port + 1))
    stop > /dev/null
  fi
  launch healthy
  if [ "$secure" = 1 ]; then
    http POST /admin/v2/namespaces/public/default/permissions/reader '["consume"]' > /dev/null
  fi
  echo "pulsar started: pid $(cat "$pidfile"), pulsar://127.0.0.1:$port, http://127.0.0.1:$((port + 1))"
}

# The ports open before the node is ready; its health check writes and reads a message.
healthy() {
  accepts $((port + 1)) && [ "$(http GET /admin/v2/brokers/health 2> /dev/null)" = ok ] &&
    http GET /admin/v2/namespaces/public 2> /dev/null | grep -q public/default
}

launch() {  # CONDITION: starts the process and waits until the condition holds
  local pid end p open=() drivers=org.apache.pulsar.metadata.bookkeeper.PulsarMetadata
  for p in java.base/java.io java.base/java.nio java.base/java.util.zip java.base/jdk.internal.misc java.base/jdk.internal.platform \
    java.base/sun.net java.management/sun.management; do
    open+=(--add-opens "$p=ALL-UNNAMED")
  done
  : > "$log"
  rm -rf "${data:?}/tmp"  # native libraries are unpacked there, and stay there after a kill
  mkdir "$data/tmp"
  # shellcheck disable=SC2046,SC2086
  nohup $(command -v setsid || true) ${PULSAR_PREFIX:-} "$java" "-Xms$heap" "-Xmx$heap" "-XX:MaxDirectMemorySize=$heap" -XX:+UseG1GC \
    "${open[@]}" -Djava.net.preferIPv4Stack=true -Dio.netty.tryReflectionSetAccessible=true \
    -Dbookkeeper.metadata.bookie.drivers="${drivers}BookieDriver" -Dbookkeeper.metadata.client.drivers="${drivers}ClientDriver" \
    -Dlog4j2.configurationFile="$data/log4j2.properties" -Dlog4j.shutdownHookEnabled=false -Djava.io.tmpdir="$data/tmp" -cp "$cache/lib/*" \
    org.apache.pulsar.PulsarStandaloneStarter --config "$conf" --metadata-dir "$data/metadata" --bookkeeper-dir "$data/bookkeeper" \
    --bookkeeper-port $((port + 2)) --advertised-address 127.0.0.1 --no-functions-worker --no-stream-storage \
    >> "$log" 2>&1 < /dev/null &
  pid=$!
  echo "$pid" > "$pidfile"
  end=$((SECONDS + wait_s))
  until "$@"; do
    kill -0 "$pid" 2>/dev/null || { rm -f "$pidfile"; no_start "the node ended while starting"; }
    [ "$SECONDS" -lt "$end" ] || { stop; no_start "not ready after $wait_s s"; }
    sleep 0.2
  done
}

stop() {
  local pid end
  if ! pid=$(running); then
    rm -f "$pidfile"
    echo "pulsar is stopped"
    return
  fi
  kill -TERM "$pid"
  end=$((SECONDS + wait_s))
  while kill -0 "$pid" 2>/dev/null; do
    if [ "$SECONDS" -ge "$end" ]; then
      echo "pulsar.sh: pid $pid did not end in $wait_s s: killed" >&2
      kill -KILL "$pid" 2>/dev/null || true
      end=$((SECONDS + 10))
    fi
    sleep 0.1
  done
  rm -f "$pidfile"
  echo "pulsar stopped: pid $pid"
}

wipe() {
  stop
  [ -e "$data" ] || return 0
  [ -f "$conf" ] || die "$data holds no node of ours: not deleted"
  rm -rf "$data"
  echo "deleted $data"
}

topic() {
  [ $# -eq 2 ] || die "topic NAME PARTITIONS"
  local path=/admin/v2/persistent/public/default/$1 answer
  running > /dev/null || die "pulsar does not run on port $port"
  if [ "$2" -gt 0 ]; then path=$path/partitions; fi
  answer=$(http PUT "$path" "$([ "$2" -eq 0 ] || echo "$2")" 2>&1) || case $answer in
    *already\ exist*) ;;
    *) die "topic $1: $answer" ;;
  esac
  echo "topic $1: $2 partitions"
}

status() {
  local pid
  if pid=$(running); then
    echo "pulsar runs: pid $pid, pulsar://127.0.0.1:$port, data $data"
  else
    echo "pulsar is stopped: port $port, data $data"
    return 3
  fi
}

cmd=${1:-}
[ $# -gt 0 ] && shift
case $cmd in
  install | start | stop | wipe | status) "$cmd" ;;
  topic) topic "$@" ;;
  admin) http "$@" && echo ;;
  *) usage >&2; exit 2 ;;
esac
