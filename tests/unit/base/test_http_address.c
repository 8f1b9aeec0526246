/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "base/http.h"

static const struct {
    const char *text;
    uint32_t kind;
} rows[] = {
    {"127.0.0.1", AIOS__ALLOW_LOOPBACK},
    {"127.255.255.255", AIOS__ALLOW_LOOPBACK},
    {"0.0.0.0", AIOS__ALLOW_LOOPBACK},
    {"::", AIOS__ALLOW_LOOPBACK},
    {"::1", AIOS__ALLOW_LOOPBACK},
    {"[::1]", AIOS__ALLOW_LOOPBACK},
    {"::ffff:127.0.0.1", AIOS__ALLOW_LOOPBACK},
    {"::ffff:7f00:1", AIOS__ALLOW_LOOPBACK},
    {"::ffff:0:127.0.0.1", AIOS__ALLOW_LOOPBACK},
    {"64:ff9b::7f00:1", AIOS__ALLOW_LOOPBACK},
    {"2002:7f00:1::", AIOS__ALLOW_LOOPBACK},
    {"10.0.0.1", AIOS__ALLOW_PRIVATE},
    {"172.16.0.1", AIOS__ALLOW_PRIVATE},
    {"172.31.255.255", AIOS__ALLOW_PRIVATE},
    {"172.15.255.255", AIOS__ALLOW_PUBLIC},
    {"172.32.0.0", AIOS__ALLOW_PUBLIC},
    {"192.168.1.1", AIOS__ALLOW_PRIVATE},
    {"192.169.0.0", AIOS__ALLOW_PUBLIC},
    {"100.64.0.0", AIOS__ALLOW_PRIVATE},
    {"100.127.255.255", AIOS__ALLOW_PRIVATE},
    {"100.63.255.255", AIOS__ALLOW_PUBLIC},
    {"100.128.0.0", AIOS__ALLOW_PUBLIC},
    {"198.18.0.1", AIOS__ALLOW_PRIVATE},
    {"198.19.255.255", AIOS__ALLOW_PRIVATE},
    {"198.20.0.0", AIOS__ALLOW_PUBLIC},
    {"fc00::1", AIOS__ALLOW_PRIVATE},
    {"fdff::1", AIOS__ALLOW_PRIVATE},
    {"fec0::1", AIOS__ALLOW_PRIVATE},
    {"64:ff9b::10.0.0.1", AIOS__ALLOW_PRIVATE},
    {"64:ff9b:1::1", AIOS__ALLOW_PRIVATE},
    {"2002:c0a8:101::1", AIOS__ALLOW_PRIVATE},
    {"::192.168.0.1", AIOS__ALLOW_PRIVATE},
    {"169.254.169.254", AIOS__ALLOW_LINK_LOCAL},
    {"::ffff:169.254.169.254", AIOS__ALLOW_LINK_LOCAL},
    {"64:ff9b::a9fe:a9fe", AIOS__ALLOW_LINK_LOCAL},
    {"fe80::1", AIOS__ALLOW_LINK_LOCAL},
    {"fe80::1%eth0", AIOS__ALLOW_LINK_LOCAL},
    {"febf::1", AIOS__ALLOW_LINK_LOCAL},
    {"8.8.8.8", AIOS__ALLOW_PUBLIC},
    {"126.255.255.255", AIOS__ALLOW_PUBLIC},
    {"128.0.0.0", AIOS__ALLOW_PUBLIC},
    {"223.255.255.255", AIOS__ALLOW_PUBLIC},
    {"2606:4700::1", AIOS__ALLOW_PUBLIC},
    {"64:ff9b::808:808", AIOS__ALLOW_PUBLIC},
    {"::ffff:8.8.8.8", AIOS__ALLOW_PUBLIC},
    {"2002:808:808::1", AIOS__ALLOW_PUBLIC},
    {"0.0.0.1", 0},
    {"192.0.0.8", 0},
    {"192.0.2.1", 0},
    {"198.51.100.1", 0},
    {"203.0.113.1", 0},
    {"224.0.0.1", 0},
    {"255.255.255.255", 0},
    {"ff02::1", 0},
    {"2001::1", 0},
    {"2001:db8::1", 0},
    {"100::1", 0},
    {"4000::1", 0},
    {"", 0},
    {"localhost", 0},
    {"0x7f.1", 0},
    {"2130706433", 0},
    {"127.1", 0},
    {"127.0.0.1 ", 0},
    {"[", 0},
    {"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc:dddd:eeee", 0},
};

static void addresses_are_what_they_lead_to(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (aios__address_class(rows[i].text) != rows[i].kind)
            fail_msg("%s is %s", rows[i].text, aios__address_kind(aios__address_class(rows[i].text)));
}

/* However it is dressed, an IPv4 address stays of its kind. */
static void ipv4_in_ipv6_is_of_the_same_kind(void **state)
{
    (void)state;
    uint32_t x = 1;
    for (int i = 0; i < 20000; i++) {
        x = x * 1664525u + 1013904223u;
        uint32_t a = x >> 16 & 0xff, b = x >> 24, c = x >> 8 & 0xff, d = x & 0xff;
        char plain[16], text[64];
        snprintf(plain, sizeof plain, "%u.%u.%u.%u", a, b, c, d);
        uint32_t kind = aios__address_class(plain);
        snprintf(text, sizeof text, "::ffff:%s", plain);
        assert_int_equal(aios__address_class(text), kind);
        snprintf(text, sizeof text, "64:ff9b::%s", plain);
        assert_int_equal(aios__address_class(text), kind);
        snprintf(text, sizeof text, "2002:%x:%x::1", a << 8 | b, c << 8 | d);
        assert_int_equal(aios__address_class(text), kind);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_what_they_lead_to),
        cmocka_unit_test(ipv4_in_ipv6_is_of_the_same_kind),
    };
    return cmocka_run_group_tests_name("http_address", tests, NULL, NULL);
}
