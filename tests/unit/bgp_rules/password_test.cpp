// SPDX-License-Identifier: Apache-2.0
#include "agent/bgp/password.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

namespace margay::bgp_rules {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

struct Password : ::testing::Test {
    std::filesystem::path folder;

    void SetUp() override
    {
        std::string name = ::testing::TempDir() + "margay-passwords-XXXXXX";
        folder = mkdtemp(name.data());
    }
    void TearDown() override { std::filesystem::remove_all(folder); }
    void write(const std::string& text)
    {
        std::filesystem::create_directories(folder / "bgp");
        std::ofstream(folder / "bgp" / "tor") << text;
    }
    std::string why()
    {
        const auto read = read_password(folder, {"bgp", "tor"});
        EXPECT_FALSE(read);
        return read ? "" : read.error().what;
    }
};

TEST_F(Password, is_the_file_without_its_last_line_end)
{
    write("sesame");
    EXPECT_EQ(*read_password(folder, {"bgp", "tor"}), "sesame");
    write("two words\n");
    EXPECT_EQ(*read_password(folder, {"bgp", "tor"}), "two words");
    write(std::string(80, 'x') + "\n");
    EXPECT_EQ(read_password(folder, {"bgp", "tor"})->size(), 80u);
}

TEST_F(Password, that_cannot_be_is_an_error_that_names_the_file_and_not_what_is_in_it)
{
    EXPECT_THAT(why(), HasSubstr("/bgp/tor: No such file"));
    write("");
    EXPECT_THAT(why(), HasSubstr("/bgp/tor is empty"));
    write(std::string(81, 'x'));
    EXPECT_THAT(why(), HasSubstr("longer than 80"));
    EXPECT_THAT(why(), Not(HasSubstr("xx")));
    std::filesystem::remove(folder / "bgp" / "tor");
    std::filesystem::create_directories(folder / "bgp" / "tor");
    EXPECT_THAT(why(), HasSubstr("is no file"));
}

TEST_F(Password, without_a_folder_the_setting_is_named)
{
    const auto read = read_password("", {"bgp", "tor"});
    ASSERT_FALSE(read);
    EXPECT_THAT(read.error().what, HasSubstr("bgp-password-folder"));
}

} // namespace
} // namespace margay::bgp_rules
