// SPDX-License-Identifier: Apache-2.0
// Metrics as Prometheus text. Values are read when they are asked for: whoever answers /metrics
// makes a MetricsText, adds what it knows, and takes the text. Nothing is counted here.

#pragma once

#include <map>
#include <memory>
#include <string>

namespace margay::status {

using MetricLabels = std::map<std::string, std::string>;

class MetricsText {
public:
    MetricsText();
    ~MetricsText();

    // Values of one name must be added with one help text; they may differ in labels.
    void counter(const std::string& name, const std::string& help, double value,
                 const MetricLabels& labels = {});
    void gauge(const std::string& name, const std::string& help, double value,
               const MetricLabels& labels = {});

    std::string str() const;

private:
    struct Families;
    std::unique_ptr<Families> families_;
};

} // namespace margay::status
