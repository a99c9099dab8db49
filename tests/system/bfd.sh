#!/usr/bin/env bash
# BFD beside BGP (RFC 5882): a node that stops is lost within seconds although the hold time is minutes,
# it comes back, and a restart of margayd is no loss.
set -euo pipefail
cd "$(dirname "$0")/../.."
prefix=mgf$$
. tests/system/lib.sh
nodes=(n1 n2)
first() { peers n1 | jq -r ".peers[0].$1"; }
bfd_is_up() { [ "$(first bfd)" = Up ]; }
established() { [ "$(first state)" = Established ]; }
lost_by_bfd() { [[ $(first why) == *BFD* ]]; }

bold "two nodes with BFD and a hold time of minutes"
begin_cluster
export MARGAY_BFD=true
hold_seconds=240
for node in n1 n2; do start_node $node; done
eventually 60 established || fail "the session comes up" "$(in_node n1 margayctl bgp peers)"
eventually 30 bfd_is_up || fail "BFD comes up" "$(first bfd)"
ok "the session and BFD are up"

bold "n2 stops"
kill -STOP "$(cat "$state/n2/pid")"
eventually 30 lost_by_bfd || fail "BFD ends the session" "$(in_node n1 margayctl bgp peers)"
ok "n1: $(first why)"
kill -CONT "$(cat "$state/n2/pid")"
eventually 60 established || fail "the session is back" "$(in_node n1 margayctl bgp peers)"
eventually 30 bfd_is_up || fail "BFD is back" "$(first bfd)"
ok "n2 goes on, and both are back"

bold "margayd of n2 restarts"
sessions=$(first sessions)
kill_node TERM n2
start_node n2
came_back() { established && [ "$(first sessions)" -gt "$sessions" ]; }
eventually 60 came_back || fail "the session is back" "$(in_node n1 margayctl bgp peers)"
if grep -q 'why="BFD' <(tail -n +"$(grep -n 'BGP session up' "$state/n1/margayd.log" | tail -2 | head -1 | cut -d: -f1)" "$state/n1/margayd.log"); then
    fail "a restart is no failure" "$(tail -n 5 "$state/n1/margayd.log")"
fi
ok "its restart was no failure"
