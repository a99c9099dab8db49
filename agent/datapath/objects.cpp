// SPDX-License-Identifier: Apache-2.0
// The only file that includes the generated skeletons. They are used for what they are good at,
// typed access to read-only data before the load; programs.cpp does the rest by name.
#include <bpf/libbpf.h>

#include <cerrno>
#include <memory>

#include "agent/datapath/programs.h"
#include "bpf/collect.skel.h"
#include "bpf/from_uplink.skel.h"
#include "bpf/from_workload.skel.h"
#include "bpf/stages.skel.h"
#include "bpf/to_uplink.skel.h"
#include "bpf/to_workload.skel.h"
#include "bpf/uplink_xdp.skel.h"

namespace margay::datapath {
namespace {

template <typename Skeleton>
Result<OpenedObject> open_object(const char* name, Skeleton* (*open)(const bpf_object_open_opts*),
                                 void (*destroy)(Skeleton*), const ProgramOptions& options,
                                 std::vector<char>& log)
{
    LIBBPF_OPTS(bpf_object_open_opts, opts);
    opts.kernel_log_buf = log.data();
    opts.kernel_log_size = static_cast<__u32>(log.size());
    Skeleton* skeleton = open(&opts);
    if (skeleton == nullptr)
        return system_error(errno, std::string("open object ") + name);
    // The object is the same struct in its own name space: it has the layout of maps/config.h.
    static_assert(sizeof(skeleton->rodata->constants) == sizeof(options.constants));
    std::memcpy(&skeleton->rodata->constants, &options.constants, sizeof(options.constants));
    return OpenedObject{name, skeleton->obj, std::shared_ptr<void>(skeleton, [destroy](void* s) {
                            destroy(static_cast<Skeleton*>(s));
                        })};
}

} // namespace

Result<std::vector<OpenedObject>> open_objects(const ProgramOptions& options,
                                               std::vector<char>& log)
{
    std::vector<OpenedObject> objects;
    Status status;
    const auto add = [&](const char* name, auto open, auto destroy) {
        if (!status)
            return;
        auto opened = open_object(name, open, destroy, options, log);
        if (opened)
            objects.push_back(*std::move(opened));
        else
            status = opened.error();
    };
#define ADD(name) add(#name, name##_bpf__open_opts, name##_bpf__destroy)
    ADD(stages);
    ADD(collect);
    ADD(from_workload);
    ADD(to_workload);
    ADD(from_uplink);
    ADD(to_uplink);
    ADD(uplink_xdp);
#undef ADD
    if (!status)
        return status.error();
    return objects;
}

} // namespace margay::datapath
