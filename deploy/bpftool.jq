# Saves the arithmetic when reading Margay's maps with bpftool: one line an entry, with dotted
# addresses, ports in host order and MACs. CPUs are summed up. Entries of an array that hold only
# zeros are left out: a zeroed slot is an unused one in every map.
#   bpftool map dump pinned /sys/fs/bpf/margay/v1/routes4 | jq -rcf deploy/bpftool.jq
def octet(n): (. / n | floor) % 256;
def dotted: "\(octet(1)).\(octet(256)).\(octet(65536)).\(octet(16777216))";
def port: (. % 256) * 256 + octet(256);
def mac: map([(. / 16 | floor), . % 16] | map("0123456789abcdef"[.:. + 1]) | add) | join(":");
def each(f): if type == "array" then map(f) else f end;
def readable:
    walk(if type == "object" then
        del(.pad) | with_entries(
            if .key | test("addr$|^outer_|^next_hop$|^icmp_source$") then .value |= each(dotted)
            elif .key | test("port$") then .value |= each(port)
            elif .key | test("mac$") then .value |= mac
            elif .key == "action" then .value |= {out: (. / 256 | floor), verb: (. % 16), tunnelled: ((. / 128 | floor) % 2)}
            else . end)
    else . end);
def summed: # {packets, bytes} of each CPU to one
    map(.value | to_entries) | add | group_by(.key) | map({key: .[0].key, value: map(.value) | add}) | from_entries;

.[] | (.formatted // .)
| if .values then {key, value: (.values | summed)} else . end
| select((.key | type) == "object" or ([.value | .. | numbers] | any(. != 0)))
| if (.value | type) == "object" and .value.words then .value.words |= [limit(4; .[])] + ["..."] else . end
| readable
