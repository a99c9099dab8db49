// SPDX-License-Identifier: Apache-2.0
#include "agent/status/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <sstream>
#include <vector>

namespace margay::status {

struct MetricsText::Families {
    std::map<std::string, prometheus::MetricFamily> by_name;

    prometheus::ClientMetric& add(const std::string& name, const std::string& help,
                                  prometheus::MetricType type, const MetricLabels& labels)
    {
        prometheus::MetricFamily& family = by_name[name];
        family.name = name;
        family.help = help;
        family.type = type;
        prometheus::ClientMetric& metric = family.metric.emplace_back();
        for (const auto& [key, value] : labels)
            metric.label.push_back({key, value});
        return metric;
    }
};

MetricsText::MetricsText() : families_(std::make_unique<Families>()) {}
MetricsText::~MetricsText() = default;

void MetricsText::counter(const std::string& name, const std::string& help, double value,
                          const MetricLabels& labels)
{
    families_->add(name, help, prometheus::MetricType::Counter, labels).counter.value = value;
}

void MetricsText::gauge(const std::string& name, const std::string& help, double value,
                        const MetricLabels& labels)
{
    families_->add(name, help, prometheus::MetricType::Gauge, labels).gauge.value = value;
}

std::string MetricsText::str() const
{
    std::vector<prometheus::MetricFamily> all;
    for (const auto& [name, family] : families_->by_name)
        all.push_back(family);
    std::ostringstream text;
    prometheus::TextSerializer().Serialize(text, all);
    return text.str();
}

} // namespace margay::status
