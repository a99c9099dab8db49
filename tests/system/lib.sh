# shellcheck shell=bash
# What the scripts of this folder share, beside the cluster itself. To be sourced from the project's root, with
# $prefix set (deploy/lib/cluster.sh). At the script's end the cluster goes; of one that failed the logs are shown.
state=/run/margay-test-$prefix
. deploy/lib/cluster.sh
finish() {
    local status=$?
    if [ $status = 0 ]; then
        bold "$passed assertions passed in ${SECONDS} s"
    else
        tail -n 30 "$state"/*/margayd.log "$state"/*.bird.log "$state"/console.log 2>/dev/null || true
    fi
    down
    exit $status
}
trap finish EXIT

# --- asking --------------------------------------------------------------------------------------
status() { in_node "$1" margayctl status -o json; }
peers() { in_node "$1" margayctl bgp peers -o json; }
peer() { peers "$1" | jq -e --arg n "$2" ".peers[] | select(.name == \$n) | $3"; } # peer NODE NAME JQ
session_up() { peer "$1" "$2" '.state == "Established"' | grep -x true; } # session_up NODE NAME
warned() { status "$1" | jq -e --arg t "$2" '.warnings[] | select(.text | contains($t))'; } # warned NODE TEXT
block_of() { status "$1" | jq -er '.blocks[0]'; }
metrics() { in_node "$1" curl -fsS http://127.0.0.1:9099/metrics; }
# Routes that leave the node's kernel are written down as it happens. With & behind it.
watch_routes() { exec_in_ns "$1" ip -4 monitor route >"$state/$1.monitor"; }
lost() { grep -F Deleted "$state/$1.monitor" | grep -F "$2"; } # lost NODE ROUTE

# --- changing ------------------------------------------------------------------------------------
v3=/calico/resources/v3/projectcalico.org
apply() { calico apply -f - >/dev/null; }
resource() { # resource KIND NAME SPEC: the latter in YAML's flow style
    apply <<END
apiVersion: projectcalico.org/v3
kind: $1
metadata: {name: $2}
spec: $3
END
}
kill_node() { # kill_node SIGNAL NODE: its margayd, which ends
    local pid
    pid=$(cat "$state/$2/pid")
    kill "-$1" "$pid"
    eventually 20 is_dead "$pid" || fail "SIG$1 ends margayd of $2"
}
start_reflector() { # start_reflector: margayd on the machine rr, by itself; the environment says more
    mkdir -p "$state/rr/run"
    NODENAME=rr CALICO_NODENAME_FILE=$state/rr/nodename IP=autodetect DATASTORE_TYPE=etcdv3 ETCD_ENDPOINTS=$etcd_url \
        MARGAY_ROLE=route-reflector MARGAY_ROUTE_REFLECTOR_CLUSTER_ID=1.0.0.4 \
        MARGAY_HTTP_LISTEN=127.0.0.1:9099 exec_in_node rr margayd >>"$state/rr/margayd.log" 2>&1 &
    echo $! >"$state/rr/pid"
    disown
}

# --- BIRD ----------------------------------------------------------------------------------------
# start_bird HOST ROUTER_ID [OPTION...]: BIRD 2, by what stdin adds to its configuration
start_bird() {
    cat >"$state/$1.conf" <<END
router id $2;
log "$state/$1.bird.log" all;
protocol device {}
$(cat)
END
    exec_in_ns "$1" bird -f "${@:3}" -c "$state/$1.conf" -s "$state/$1.ctl" &
    echo $! >"$state/$1.bird.pid"
    disown
    eventually 20 bird_says "$1" show status || fail "BIRD starts at $1" "$(tail -n 5 "$state/$1.bird.log")"
}
bird_says() { birdc -s "$state/$1.ctl" "${@:2}"; } # bird_says HOST COMMAND...
