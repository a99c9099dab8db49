#!/usr/bin/env bash
# A route reflector that knows its clients by where they come from (bgp-listen-range): BIRDs inside the range, outside of
# it, of another AS, and one too many; their passwords and filters; and kill -9 of the reflector.
set -euo pipefail
cd "$(dirname "$0")/../.."
prefix=mgr$$
. tests/system/lib.sh
nodes=()
rr=172.31.1.40

up() { session_up rr "$1"; }
known() { peer rr "$1" .; }
refused() { peers rr | jq -e --arg a "$1" --arg w "$2" '.refused[] | select(.address == $a and (.why | contains($w)))'; } # refused ADDRESS WHY
metric() { metrics rr | grep -xF "$1"; }
bird_up() { bird_says "$1" show protocols reflector | grep Established; }
has() { bird_says "$1" show route "$2" | grep unicast; } # has BIRD PREFIX
hears() { grep -F "$2" "$state/$1.bird.log"; }

client() { # client NAME ADDRESS AS [FIELDS]
    start_bird "$1" "$2" <<END
protocol direct { ipv4; }
protocol static { ipv4; route 10.244.${2##*.}.0/24 blackhole; }
protocol bgp reflector {
  local $2 as $3; neighbor $rr as 64512; connect delay time 1; connect retry time 1; error wait time 1,2; ${4:-}
  graceful restart on;
  ipv4 { import all; export where source = RTS_STATIC; };
}
END
}
stop_bird() { # stop_bird NAME: with a word, as an operator does
    bird_says "$1" disable reflector >/dev/null
    kill "$(cat "$state/$1.bird.pid")"
}
export MARGAY_BGP_PASSWORD_FOLDER=$state/secrets
export MARGAY_BGP_LISTEN_RANGE="172.31.1.16/28 as=internal client limit=2, 172.31.1.64/28 as=65001+65002 filters=in, 172.31.1.80/28 as=external password=bgp/racks"

bold "a reflector with ranges, and clients that nobody configured"
begin_cluster
mkdir -p "$state/secrets/bgp"
for host in c1:172.31.1.17 c2:172.31.1.18 c3:172.31.1.19 out:172.31.1.50 e1:172.31.1.65 e2:172.31.1.66 p1:172.31.1.81 rr:$rr; do
    add_host "${host%%:*}" "${host#*:}"
done
resource IPPool pods '{cidr: 10.244.0.0/16}'
resource BGPConfiguration default '{nodeMeshMaxRestartTime: 8s}'
start_reflector
check "it becomes ready" eventually 60 node_ready rr
client c1 172.31.1.17 64512
client c2 172.31.1.18 64512
for host in c1:Dynamic_172_31_1_17 c2:Dynamic_172_31_1_18; do check "${host%%:*} has a session" eventually 60 up "${host#*:}"; done
[ "$(peer rr Dynamic_172_31_1_17 .from | jq -r .)" = "dynamic, of range 172.31.1.16/28" ] || fail "margayctl says of which range" "$(peers rr)"
ok "margayctl says of which range"
check "c2 has c1's route by reflection" eventually 20 has c2 10.244.17.0/24
check "and the other way round" eventually 20 has c1 10.244.18.0/24
check "metrics count them" metric 'margay_bgp_dynamic_peers 2'
check "and name them" metric 'margay_bgp_peer_up{peer="Dynamic_172_31_1_17"} 1'

bold "who is refused is told why, or seen"
client c3 172.31.1.19 64512
check "one too many is named" eventually 30 refused 172.31.1.19 "one too many: range 172.31.1.16/28 has its 2"
check "and told so" eventually 30 hears c3 "Connection rejected"
client out 172.31.1.50 64512
check "one from no range is named" eventually 30 refused 172.31.1.50 "not a peer, nor in a range"
client e2 172.31.1.66 65003
check "one of another AS is named" eventually 30 refused 172.31.1.66 "65003, configured is 65001 or 65002"
in_node rr margayctl bgp peers | grep -E '^172\.31\.1\.50 +[0-9]+ ' >/dev/null || fail "margayctl's table has them" "$(in_node rr margayctl bgp peers)"
ok "margayctl's table has them"
show_in rr margayctl bgp peers
check "the log, too" grep -F 'connection refused: not a peer, nor in a range address=172.31.1.50' "$state/rr/margayd.log"
metrics rr | grep -E '^margay_bgp_refused_connections_total [1-9]' >/dev/null || fail "a metric counts them"
ok "a metric counts them"
for host in c1 c2; do bird_up $host >/dev/null || fail "$host's session goes on"; done
stop_bird c2
check "a place that is free again" eventually 20 not known Dynamic_172_31_1_18
check "is c3's" eventually 60 up Dynamic_172_31_1_19
check "c1 has c3's route instead of c2's" eventually 20 has c1 10.244.19.0/24
check "which is gone" eventually 20 not has c1 10.244.18.0/24

bold "filters and passwords of a range"
client e1 172.31.1.65 65001
check "of another AS, one of the list" eventually 60 up Dynamic_172_31_1_65
refuse "without the filter it tells nothing" eventually 3 has c1 10.244.65.0/24
check "which margayctl status names" eventually 10 warned rr "bgp-listen-range 172.31.1.64/28: BGPFilter in is not there"
resource BGPFilter in '{importV4: [{cidr: 10.244.65.0/24, matchOperator: Equal, action: Accept}, {action: Reject}]}'
check "with it c1 has its route" eventually 20 has c1 10.244.65.0/24
check "nobody is let in without the password's file" eventually 10 warned rr "bgp-listen-range 172.31.1.80/28: no password: $state/secrets/bgp/racks"
client p1 172.31.1.81 65009 'password "open-sesame";'
refuse "nor is p1" eventually 3 up Dynamic_172_31_1_81
echo open-sesame >"$state/secrets/bgp/racks"
check "with it p1 comes in" eventually 60 up Dynamic_172_31_1_81

bold "the reflector is killed and starts again"
settled_times() { grep -c "BGP has settled" "$state/rr/margayd.log"; }
kill -KILL "$(cat "$state/rr/pid")"
eventually 20 not bird_up c1 || fail "c1 notices"
has c1 10.244.19.0/24 >/dev/null || fail "c1 keeps c3's route"
ok "c1 keeps c3's route"
start_reflector
for ((waited = 0; waited < 300 && $(settled_times) < 2; waited++)); do
    has c1 10.244.19.0/24 >/dev/null || fail "c1 never loses c3's route" "$(bird_says c1 show route all)"
    sleep 0.2
done
[ "$(settled_times)" = 2 ] || fail "BGP settles when the restart time is over"
ok "c1 never lost c3's route until BGP has settled"
sleep 1 # what is wrongly taken for stale would go now
check "c1's session is back" eventually 60 bird_up c1
check "and has it still" has c1 10.244.19.0/24
