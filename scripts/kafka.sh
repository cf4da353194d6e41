#!/usr/bin/env bash
# One Apache Kafka node (KRaft, no ZooKeeper) on the loopback address, for tests and measurements.
#
#   kafka.sh install                     copy the jars named in pom.xml into the cache (Maven, once)
#   kafka.sh start                       start the node; returns when it answers a client; no harm when it runs
#   kafka.sh stop                        stop it; the data stay
#   kafka.sh wipe                        stop it and delete its data
#   kafka.sh topic NAME PARTITIONS [K=V...]   create a topic (with topic settings); no harm when it exists
#   kafka.sh allow USER PREFIX OPERATION...   with KAFKA_SECURE: what a user may do on topics whose names begin so; others
#                                        then may do nothing there
#   kafka.sh status                      one line; exit status 0 running, 3 stopped
#   kafka.sh run CLASS [ARGS...]         any Java tool on the same class path
#
# Environment (defaults in brackets):
#   KAFKA_CACHE    jars [${XDG_CACHE_HOME:-~/.cache}/weir/kafka]
#   KAFKA_PORT     client port; the controller listens on the next one [9092]
#   KAFKA_DATA     data, log, pid and settings of this node [$KAFKA_CACHE/node-$KAFKA_PORT]
#   KAFKA_HEAP     [512m]
#   KAFKA_WAIT     seconds that start and stop wait at most [60]
#   KAFKA_PREFIX   a command put before java, e.g. "taskset -c 0" []
#   KAFKA_SECURE   1: three more listeners, an authorizer, and certificates made with openssl []
#                  port+2 SASL_PLAINTEXT, port+3 SASL_SSL (both PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER with
#                  unsigned tokens), port+4 SSL with client certificates; the plain port stays open, as super user.
#                  In $KAFKA_DATA/tls: ca.pem, client.pem, client.key (CN=weir-client); other-ca.pem, other-client.pem and
#                  other-client.key belong to an authority that the node does not know.
#   KAFKA_USERS    users of KAFKA_SECURE, "name:password ...", fixed when the data are made [weir:weir-secret]
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${KAFKA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/weir/kafka}
port=${KAFKA_PORT:-9092}
data=${KAFKA_DATA:-$cache/node-$port}
heap=${KAFKA_HEAP:-512m}
wait_s=${KAFKA_WAIT:-60}
secure=${KAFKA_SECURE:-}
users=${KAFKA_USERS:-weir:weir-secret}
java=${JAVA_HOME:+$JAVA_HOME/bin/}java
conf=$data/server.properties
log=$data/kafka.log
pidfile=$data/kafka.pid
tls=$data/tls

die() { echo "kafka.sh: $*" >&2; exit 1; }

usage() { sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; }

# The pid of this node, if it runs: the process must be the one that was started with our settings file.
running() {
  local pid
  [ -s "$pidfile" ] || return 1
  pid=$(cat "$pidfile")
  ps -p "$pid" -o args= 2>/dev/null | grep -qF "$conf" || return 1
  echo "$pid"
}

tool() {  # a short-lived Java tool, quiet
  "$java" -Xmx512m -Dlog4j.configuration="file:$data/tool.log4j.properties" -cp "$cache/lib/*" "$@"
}

accepts() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

install() {
  local want
  want=$(cksum < "$here/kafka/pom.xml")
  [ "$(cat "$cache/lib/.pom" 2>/dev/null)" = "$want" ] && return
  command -v mvn >/dev/null || die "install needs Maven (mvn) on the PATH"
  rm -rf "${cache:?}/lib"
  mkdir -p "$cache/lib"
  mvn -q -B -Dstyle.color=never -f "$here/kafka/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$cache/lib"
  echo "$want" > "$cache/lib/.pom"
}

settings() {
  cat > "$conf" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$((port + 1))
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))
advertised.listeners=PLAINTEXT://127.0.0.1:$port
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=$data/logs
num.network.threads=1
num.io.threads=2
auto.create.topics.enable=false
log.retention.ms=-1
log.segment.delete.delay.ms=1000
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
PROPERTIES
  [ "$secure" != 1 ] || secure_settings >> "$conf"
  logging INFO > "$data/node.log4j.properties"
  logging ERROR > "$data/tool.log4j.properties"
}

secure_settings() {  # later lines of a properties file win over earlier ones
  local l u plain=
  for u in $users; do plain+=" user_${u%%:*}=\"${u#*:}\""; done
  cat <<PROPERTIES
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1)),SASL_PLAINTEXT://127.0.0.1:$((port + 2)),SASL_SSL://127.0.0.1:$((port + 3)),SSL://127.0.0.1:$((port + 4))
advertised.listeners=PLAINTEXT://127.0.0.1:$port,SASL_PLAINTEXT://127.0.0.1:$((port + 2)),SASL_SSL://127.0.0.1:$((port + 3)),SSL://127.0.0.1:$((port + 4))
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL
ssl.keystore.type=PEM
ssl.keystore.location=$tls/node.pem
ssl.truststore.type=PEM
ssl.truststore.location=$tls/ca.pem
listener.name.ssl.ssl.client.auth=required
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=true
super.users=User:ANONYMOUS
PROPERTIES
  for l in sasl_plaintext sasl_ssl; do
    cat <<PROPERTIES
listener.name.$l.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required$plain;
listener.name.$l.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.$l.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.$l.oauthbearer.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="node";
PROPERTIES
  done
}

# An authority (ca) with a certificate each for the node and a client, and another authority with a client of its own.
certificates() {
  [ ! -f "$tls/node.pem" ] || return 0
  command -v openssl > /dev/null || die "KAFKA_SECURE needs openssl on the PATH"
  mkdir -p "$tls"
  certificate ca "weir test CA"
  certificate server localhost ca
  certificate client weir-client ca
  certificate other-ca "another CA"
  certificate other-client weir-client other-ca
  cat "$tls/server.key" "$tls/server.pem" > "$tls/node.pem"
}

certificate() {  # NAME COMMON-NAME [AUTHORITY]: without an authority it is one itself
  local new=(openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$2" -keyout "$tls/$1.key")
  if [ $# -lt 3 ]; then
    "${new[@]}" -x509 -days 3650 -out "$tls/$1.pem"
  else
    "${new[@]}" | openssl x509 -req -CA "$tls/$3.pem" -CAkey "$tls/$3.key" -CAcreateserial -days 3650 \
      -extfile <(echo "subjectAltName=DNS:localhost,IP:127.0.0.1") -out "$tls/$1.pem"
  fi 2> "$tls/openssl.log" || { cat "$tls/openssl.log" >&2; die "could not make the certificate $1"; }
}

logging() {
  cat <<PROPERTIES
log4j.rootLogger=$1, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.target=System.err
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d %p %c{1}: %m%n
PROPERTIES
}

no_start() {  # message
  echo "--- last lines of $log" >&2
  tail -n 25 "$log" >&2 || true
  die "$1"
}

start() {
  local pid end id u m scram=()
  if pid=$(running); then
    if [ "$secure" = 1 ] && ! grep -q '^ssl\.' "$conf"; then
      die "kafka runs on port $port without the listeners of KAFKA_SECURE: stop it first"
    fi
    echo "kafka runs: pid $pid, 127.0.0.1:$port"
    return
  fi
  [ -f "$cache/lib/.pom" ] || die "no jars in $cache/lib: run 'kafka.sh install' first"
  for p in $(seq "$port" $((port + (secure == 1 ? 4 : 1)))); do
    if accepts "$p"; then die "port $p is taken by another process"; fi
  done
  mkdir -p "$data"
  [ "$secure" != 1 ] || certificates
  settings
  if [ ! -f "$data/logs/meta.properties" ]; then
    id=$(tool kafka.tools.StorageTool random-uuid)
    if [ "$secure" = 1 ]; then
      for u in $users; do
        for m in SCRAM-SHA-256 SCRAM-SHA-512; do scram+=(--add-scram "$m=[name=${u%%:*},password=${u#*:}]"); done
      done
      echo "$users" > "$data/users"
    fi
    tool kafka.tools.StorageTool format -t "$id" -c "$conf" ${scram[@]+"${scram[@]}"} > "$data/format.log" 2>&1 ||
      { cat "$data/format.log" >&2; die "could not format $data/logs"; }
  elif [ "$secure" = 1 ] && [ "$(cat "$data/users" 2> /dev/null)" != "$users" ]; then
    die "$data was made with other KAFKA_USERS, or without KAFKA_SECURE: wipe it first"
  fi
  : > "$log"
  # shellcheck disable=SC2046,SC2086
  nohup $(command -v setsid || true) ${KAFKA_PREFIX:-} "$java" "-Xms$heap" "-Xmx$heap" -XX:+UseG1GC -XX:MaxGCPauseMillis=20 \
    -Dlog4j.configuration="file:$data/node.log4j.properties" -cp "$cache/lib/*" kafka.Kafka "$conf" \
    >> "$log" 2>&1 < /dev/null &
  pid=$!
  echo "$pid" > "$pidfile"
  end=$((SECONDS + wait_s))
  until accepts "$port"; do
    kill -0 "$pid" 2>/dev/null || { rm -f "$pidfile"; no_start "the node ended while starting"; }
    [ "$SECONDS" -lt "$end" ] || { stop; no_start "port $port not open after $wait_s s"; }
    sleep 0.1
  done
  # The port opens before the node is ready: it is ready when a client gets an answer.
  until tool org.apache.kafka.tools.TopicCommand --bootstrap-server "127.0.0.1:$port" --list > /dev/null 2> "$data/probe.log"; do
    kill -0 "$pid" 2>/dev/null || { rm -f "$pidfile"; no_start "the node ended while starting"; }
    [ "$SECONDS" -lt "$end" ] || { cat "$data/probe.log" >&2; stop; no_start "no answer after $wait_s s"; }
    sleep 0.2
  done
  echo "kafka started: pid $pid, 127.0.0.1:$port"
}

stop() {
  local pid end
  if ! pid=$(running); then
    rm -f "$pidfile"
    echo "kafka is stopped"
    return
  fi
  kill -TERM "$pid"
  end=$((SECONDS + wait_s))
  while kill -0 "$pid" 2>/dev/null; do
    if [ "$SECONDS" -ge "$end" ]; then
      echo "kafka.sh: pid $pid did not end in $wait_s s: killed" >&2
      kill -KILL "$pid" 2>/dev/null || true
      end=$((SECONDS + 10))
    fi
    sleep 0.1
  done
  rm -f "$pidfile"
  echo "kafka stopped: pid $pid"
}

wipe() {
  stop
  [ -e "$data" ] || return 0
  [ -f "$conf" ] || die "$data holds no node of ours: not deleted"
  rm -rf "$data"
  echo "deleted $data"
}

topic() {
  [ $# -ge 2 ] || die "topic NAME PARTITIONS [SETTING=VALUE...]"
  local name=$1 parts=$2 opts=()
  shift 2
  running > /dev/null || die "kafka does not run on port $port"
  for kv in "$@"; do opts+=(--config "$kv"); done
  tool org.apache.kafka.tools.TopicCommand --bootstrap-server "127.0.0.1:$port" --create --if-not-exists \
    --topic "$name" --partitions "$parts" --replication-factor 1 ${opts[@]+"${opts[@]}"} > /dev/null
  echo "topic $name: $parts partitions"
}

allow() {
  [ $# -ge 3 ] || die "allow USER PREFIX OPERATION..."
  local user=$1 prefix=$2 operation operations=()
  shift 2
  running > /dev/null || die "kafka does not run on port $port"
  for operation in "$@"; do operations+=(--operation "$operation"); done
  tool kafka.admin.AclCommand --bootstrap-server "127.0.0.1:$port" --add --force --allow-principal "User:$user" \
    "${operations[@]}" --topic "$prefix" --resource-pattern-type prefixed > /dev/null
  echo "user $user: $* on topics $prefix*"
}

status() {
  local pid
  if pid=$(running); then
    echo "kafka runs: pid $pid, 127.0.0.1:$port, data $data"
  else
    echo "kafka is stopped: port $port, data $data"
    return 3
  fi
}

cmd=${1:-}
[ $# -gt 0 ] && shift
case $cmd in
  install | start | stop | wipe | status) "$cmd" ;;
  topic) topic "$@" ;;
  allow) allow "$@" ;;
  run) tool "$@" ;;
  *) usage >&2; exit 2 ;;
esac
