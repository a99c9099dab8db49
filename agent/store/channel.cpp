// SPDX-License-Identifier: Apache-2.0
#include "agent/store/channel.h"

#include <fstream>
#include <sstream>
#include <thread>
#include <unordered_map>

namespace margay::store {
namespace {

constexpr const char* kSystemCa = "/etc/ssl/certs/ca-certificates.crt";

Result<std::string> read_file(const std::string& path, const char* variable)
{
    std::ifstream in(path, std::ios::binary);
    std::ostringstream text;
    if (!in || !(text << in.rdbuf()))
        return Error{Errc::Invalid, 0,
                     std::string(variable) + ": cannot read " + path +
                         ": check path and permissions"};
    return text.str();
}

// gRPC's default is TLS 1.2 or later; it has no switch to weaken that.
Result<std::shared_ptr<grpc::ChannelCredentials>> tls_credentials(const StoreConfig& config)
{
    grpc::SslCredentialsOptions options;
    auto ca = read_file(config.ca_file.empty() ? kSystemCa : config.ca_file, "ETCD_CA_CERT_FILE");
    if (!ca)
        return ca.error();
    options.pem_root_certs = std::move(*ca);
    if (!config.cert_file.empty()) {
        auto cert = read_file(config.cert_file, "ETCD_CERT_FILE");
        if (!cert)
            return cert.error();
        auto key = read_file(config.key_file, "ETCD_KEY_FILE");
        if (!key)
            return key.error();
        options.pem_cert_chain = std::move(*cert);
        options.pem_private_key = std::move(*key);
    }
    return grpc::SslCredentials(options);
}

grpc::ChannelArguments channel_arguments(const StoreConfig& config)
{
    const auto ms = [](std::chrono::milliseconds d) { return static_cast<int>(d.count()); };
    grpc::ChannelArguments args;
    args.SetMaxReceiveMessageSize(kMaxMessageBytes);
    args.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, ms(config.keepalive_time));
    args.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, ms(config.keepalive_timeout));
    args.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    args.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
    // Connections are pooled over channels of one target otherwise, together with their back-off.
    args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    args.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
    return args;
}

const char* code_name(grpc::StatusCode code)
{
    switch (code) {
    case grpc::StatusCode::UNAVAILABLE:
        return "UNAVAILABLE";
    case grpc::StatusCode::DEADLINE_EXCEEDED:
        return "DEADLINE_EXCEEDED";
    case grpc::StatusCode::UNAUTHENTICATED:
        return "UNAUTHENTICATED";
    case grpc::StatusCode::PERMISSION_DENIED:
        return "PERMISSION_DENIED";
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
        return "RESOURCE_EXHAUSTED";
    case grpc::StatusCode::OUT_OF_RANGE:
        return "OUT_OF_RANGE";
    case grpc::StatusCode::INVALID_ARGUMENT:
        return "INVALID_ARGUMENT";
    case grpc::StatusCode::FAILED_PRECONDITION:
        return "FAILED_PRECONDITION";
    case grpc::StatusCode::CANCELLED:
        return "CANCELLED";
    default:
        return "gRPC error";
    }
}

} // namespace

Result<std::shared_ptr<grpc::Channel>> open_channel(const StoreConfig& config,
                                                    const Endpoint& endpoint)
{
    std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
    if (endpoint.tls) {
        auto tls = tls_credentials(config);
        if (!tls)
            return tls.error();
        credentials = std::move(*tls);
    }
    return grpc::CreateCustomChannel("dns:///" + endpoint.authority, credentials,
                                     channel_arguments(config));
}

std::string describe(const grpc::Status& status)
{
    return std::string(code_name(status.error_code())) + ": " + status.error_message();
}

bool is_stale_token(const grpc::Status& status)
{
    return status.error_code() == grpc::StatusCode::UNAUTHENTICATED ||
           (status.error_code() == grpc::StatusCode::INVALID_ARGUMENT &&
            status.error_message().find("revision of auth store is old") != std::string::npos);
}

struct Link::Impl : std::enable_shared_from_this<Link::Impl> {
    // Something whose end the completion queue reports by its address.
    struct Operation {
        virtual ~Operation() = default;
        virtual void complete(bool ok) = 0;
    };

    // A call with one answer.
    template <typename Response>
    struct Unary final : Operation {
        Unary(Impl& l, std::function<void(const grpc::Status&, Response&)> d)
            : link(l), done(std::move(d))
        {
        }
        void complete(bool) override
        {
            const auto self = link.take(this);
            done(status, response);
        }

        Impl& link;
        grpc::ClientContext context;
        grpc::Status status;
        Response response;
        std::unique_ptr<grpc::ClientAsyncResponseReader<Response>> reader;
        std::function<void(const grpc::Status&, Response&)> done;
    };

    // The watch: start, write the request, then read until that fails, then ask for the reason.
    // Exactly one step is under way at any time.
    struct Stream final : Operation {
        enum class Step { Start, Write, Read, Finish };

        explicit Stream(Impl& l) : link(l) {}
        void complete(bool ok) override;
        void read()
        {
            step = Step::Read;
            response.Clear();
            stream->Read(&response, this);
        }

        Impl& link;
        Step step = Step::Start;
        bool abandoned = false; // replaced by another watch: no more callbacks
        grpc::ClientContext context;
        pb::WatchRequest request;
        pb::WatchResponse response;
        grpc::Status status;
        std::unique_ptr<grpc::ClientAsyncReaderWriter<pb::WatchRequest, pb::WatchResponse>> stream;
        OnWatch on_response;
        OnEnd on_end;
    };

    Impl(Executor& e, std::shared_ptr<grpc::Channel> c)
        : executor(e), channel(std::move(c)), kv(pb::KV::NewStub(channel)),
          auth(pb::Auth::NewStub(channel)), watcher(pb::Watch::NewStub(channel))
    {
    }

    void run_queue();
    void close();

    void begin(grpc::ClientContext& context, std::chrono::milliseconds timeout)
    {
        if (timeout.count() > 0)
            context.set_deadline(std::chrono::system_clock::now() + timeout);
        if (!token.empty())
            context.AddMetadata("token", token);
    }
    void keep(std::unique_ptr<Operation> op, grpc::ClientContext& context)
    {
        Operation* key = op.get();
        running.emplace(key, Running{std::move(op), &context});
    }
    std::unique_ptr<Operation> take(Operation* op)
    {
        const auto it = running.find(op);
        auto owned = std::move(it->second.operation);
        running.erase(it);
        return owned;
    }

    struct Running {
        std::unique_ptr<Operation> operation;
        grpc::ClientContext* context;
    };

    // Everything but the queue itself belongs to the executor's thread.
    Executor& executor;
    std::shared_ptr<grpc::Channel> channel;
    std::unique_ptr<pb::KV::Stub> kv;
    std::unique_ptr<pb::Auth::Stub> auth;
    std::unique_ptr<pb::Watch::Stub> watcher;
    grpc::CompletionQueue queue;
    std::unordered_map<Operation*, Running> running;
    Stream* stream = nullptr; // owned by `running`
    std::string token;
    bool closed = false;
    std::thread thread;
};

// The only code of the agent that runs on this thread. It reads no state: the posted function
// looks at `closed` and at the operation on the executor's thread.
void Link::Impl::run_queue()
{
    void* tag = nullptr;
    bool ok = false;
    while (queue.Next(&tag, &ok)) {
        boost::asio::post(executor, [tag, ok, weak = weak_from_this()] {
            const auto self = weak.lock();
            if (self && !self->closed)
                static_cast<Operation*>(tag)->complete(ok);
        });
    }
}

// Operations stay in memory until the last reference to this object goes, which is after the
// callback that may have brought us here.
void Link::Impl::close()
{
    closed = true;
    for (auto& [op, running_op] : running)
        running_op.context->TryCancel();
    queue.Shutdown();
    thread.join();
}

void Link::Impl::Stream::complete(bool ok)
{
    if (step == Step::Finish || abandoned) {
        // An abandoned stream has been cancelled; its one step under way has now ended.
        const auto self = link.take(this);
        if (abandoned)
            return;
        link.stream = nullptr;
        on_end(status);
        return;
    }
    if (!ok) {
        step = Step::Finish;
        stream->Finish(&status, this);
        return;
    }
    switch (step) {
    case Step::Start:
        step = Step::Write;
        stream->Write(request, this);
        break;
    case Step::Write:
        read();
        break;
    case Step::Read:
        on_response(response);
        if (abandoned) // by on_response itself: nothing is under way that would end
            (void)link.take(this);
        else if (!link.closed)
            read();
        break;
    case Step::Finish:
        break;
    }
}

Result<std::unique_ptr<Link>> Link::open(Executor& executor, const StoreConfig& config,
                                         const Endpoint& endpoint)
{
    auto channel = open_channel(config, endpoint);
    if (!channel)
        return channel.error();
    auto impl = std::make_shared<Impl>(executor, std::move(*channel));
    // The thread gets no reference: close() joins it before the last one can go.
    impl->thread = std::thread([queue = impl.get()] { queue->run_queue(); });
    return std::unique_ptr<Link>(new Link(std::move(impl)));
}

Link::Link(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

Link::~Link()
{
    impl_->close();
}

void Link::set_token(std::string token)
{
    impl_->token = std::move(token);
}

void Link::authenticate(const std::string& name, const std::string& password,
                        std::chrono::milliseconds timeout, OnToken done)
{
    auto op = std::make_unique<Impl::Unary<pb::AuthenticateResponse>>(
        *impl_, [done = std::move(done)](const grpc::Status& status, pb::AuthenticateResponse& r) {
            done(status, r.token());
        });
    pb::AuthenticateRequest request;
    request.set_name(name);
    request.set_password(password);
    impl_->token.clear();
    impl_->begin(op->context, timeout);
    auto& call = *op;
    impl_->keep(std::move(op), call.context);
    call.reader = impl_->auth->AsyncAuthenticate(&call.context, request, &impl_->queue);
    call.reader->Finish(&call.response, &call.status, &call);
}

void Link::range(const pb::RangeRequest& request, std::chrono::milliseconds timeout, OnRange done)
{
    auto op = std::make_unique<Impl::Unary<pb::RangeResponse>>(*impl_, std::move(done));
    impl_->begin(op->context, timeout);
    auto& call = *op;
    impl_->keep(std::move(op), call.context);
    call.reader = impl_->kv->AsyncRange(&call.context, request, &impl_->queue);
    call.reader->Finish(&call.response, &call.status, &call);
}

void Link::watch(const pb::WatchRequest& request, OnWatch on_response, OnEnd on_end)
{
    if (impl_->stream) {
        impl_->stream->abandoned = true;
        impl_->stream->context.TryCancel();
    }
    auto op = std::make_unique<Impl::Stream>(*impl_);
    op->request = request;
    op->on_response = std::move(on_response);
    op->on_end = std::move(on_end);
    impl_->begin(op->context, {});
    auto& call = *op;
    impl_->keep(std::move(op), call.context);
    impl_->stream = &call;
    call.stream = impl_->watcher->AsyncWatch(&call.context, &impl_->queue, &call);
}

} // namespace margay::store
