// SPDX-License-Identifier: Apache-2.0
// Of the sources that a test program is made of, runs the tests of the one that its argument names.
#include <gmock/gmock.h>

#include <iostream>
#include <string>
#include <string_view>

namespace {

// A filter for GoogleTest: the full names of the tests in `source`.
std::string tests_of(std::string_view source)
{
    const auto& all = *testing::UnitTest::GetInstance();
    std::string filter;
    for (int s = 0; s < all.total_test_suite_count(); s++) {
        const auto& suite = *all.GetTestSuite(s);
        for (int t = 0; t < suite.total_test_count(); t++) {
            const auto& test = *suite.GetTestInfo(t);
            if (std::string_view(test.file()).ends_with("/" + std::string(source)))
                filter += std::string(suite.name()) + "." + test.name() + ":";
        }
    }
    return filter;
}

} // namespace

int main(int argc, char** argv)
{
    testing::InitGoogleMock(&argc, argv);
    if (argc == 1)
        return RUN_ALL_TESTS();
    const std::string filter = tests_of(argv[1]);
    if (filter.empty()) {
        std::cerr << "no tests from " << argv[1] << " in this program\n";
        return 1;
    }
    testing::GTEST_FLAG(filter) = filter;
    return RUN_ALL_TESTS();
}
