#!/usr/bin/env bash
# The demo passes in all three modes.
set -euo pipefail
cd "$(dirname "$0")/../.."
export MARGAY_DEMO_DIR=/run/margay-demo-$$ MARGAY_DEMO_PREFIX=mgm$$
for mode in ${MODES:-Always CrossSubnet Off}; do
    CALICO_IPV4POOL_IPIP=$mode deploy/demo.sh --no-build
done
