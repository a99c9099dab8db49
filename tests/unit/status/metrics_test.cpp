// SPDX-License-Identifier: Apache-2.0
#include "agent/status/metrics.h"

#include <gmock/gmock.h>

namespace margay::status {
namespace {

using ::testing::HasSubstr;

TEST(MetricsTest, values_of_one_name_share_help_and_type_and_differ_in_labels)
{
    MetricsText text;
    text.counter("margay_drops_total", "Dropped packets", 3, {{"reason", "no_route"}});
    text.counter("margay_drops_total", "Dropped packets", 4, {{"reason", "ipv6"}});
    const auto out = text.str();
    EXPECT_THAT(out, HasSubstr("# TYPE margay_drops_total counter\n"));
    EXPECT_THAT(out, HasSubstr("margay_drops_total{reason=\"no_route\"} 3\n"));
    EXPECT_THAT(out, HasSubstr("margay_drops_total{reason=\"ipv6\"} 4\n"));
    EXPECT_EQ(out.find("# HELP"), out.rfind("# HELP"));
}

TEST(MetricsTest, label_values_from_outside_cannot_break_the_format)
{
    MetricsText text;
    text.gauge("margay_bad_value", "Bad values", 1, {{"key", "a\"} 5\nx"}});
    EXPECT_THAT(text.str(), HasSubstr("{key=\"a\\\"} 5\\nx\"} 1\n"));
}

} // namespace
} // namespace margay::status
