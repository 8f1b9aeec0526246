/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Formats as patterns of ECMA-262, each as exact as its standard: calendars know months and leap years, addresses their ranges. Two formats
 * have texts that no short pattern tells from wrong ones; for these the pattern is a part, and a function knows the rest.
 */
#include "grammar/schema_format.h"

#include "grammar/array.h"
#include "grammar/rx_priv.h"

/* RFC 3339. A leap second is at 23:59:60 UTC; the pattern has it where the offset is 0. */
#define LEAP_YEAR "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"
#define DATE                                                                                                       \
    "(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"            \
    "|02-(?:0[1-9]|1[0-9]|2[0-8]))|" LEAP_YEAR "-02-29)"
#define FRACTION "(?:\\.[0-9]+)?"
#define TIME                                                                                                       \
    "(?:(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]" FRACTION "(?:[Zz]|[+\\-](?:[01][0-9]|2[0-3]):[0-5][0-9])"       \
    "|23:59:60" FRACTION "(?:[Zz]|[+\\-]00:00))"

/* RFC 3339, appendix A. */
#define DUR_TIME "T(?:[0-9]+H(?:[0-9]+M(?:[0-9]+S)?)?|[0-9]+M(?:[0-9]+S)?|[0-9]+S)"
#define DUR_DATE "(?:[0-9]+Y(?:[0-9]+M(?:[0-9]+D)?)?|[0-9]+M(?:[0-9]+D)?|[0-9]+D)"

/* RFC 1123, RFC 2673, RFC 4291. */
#define LABEL "[0-9A-Za-z](?:[0-9A-Za-z\\-]{0,61}[0-9A-Za-z])?"
#define HOST LABEL "(?:\\." LABEL ")*"
#define OCTET "(?:[0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])"
#define IPV4 OCTET "(?:\\." OCTET "){3}"
#define H16 "[0-9A-Fa-f]{1,4}"
#define LS32 "(?:" H16 ":" H16 "|" IPV4 ")"
#define IPV6                                                                                                       \
    "(?:(?:" H16 ":){6}" LS32 "|::(?:" H16 ":){5}" LS32 "|(?:" H16 ")?" "::(?:" H16 ":){4}" LS32                       \
    "|(?:(?:" H16 ":){0,1}" H16 ")?" "::(?:" H16 ":){3}" LS32 "|(?:(?:" H16 ":){0,2}" H16 ")?" "::(?:" H16 ":){2}" LS32   \
    "|(?:(?:" H16 ":){0,3}" H16 ")?" "::" H16 ":" LS32 "|(?:(?:" H16 ":){0,4}" H16 ")?" "::" LS32                         \
    "|(?:(?:" H16 ":){0,5}" H16 ")?" "::" H16 "|(?:(?:" H16 ":){0,6}" H16 ")?" "::)"

/* RFC 5321, section 4.1.2; RFC 6531 adds what is not ASCII. */
#define MAILBOX(more, host)                                                                                         \
    "(?:[0-9A-Za-z!#$%&'*+\\-/=?^_`{|}~" more "]+(?:\\.[0-9A-Za-z!#$%&'*+\\-/=?^_`{|}~" more "]+)*"                  \
    "|\"(?:[ !#-\\[\\]-~" more "]|\\\\[ -~])*\")@(?:" host "|\\[" IPV4 "\\]|\\[[Ii][Pp][Vv]6:" IPV6 "\\])"
#define NOT_ASCII "\\u0080-\\u{10FFFF}"
#define U_LABEL "[0-9A-Za-z" NOT_ASCII "](?:[0-9A-Za-z\\-" NOT_ASCII "]{0,61}[0-9A-Za-z" NOT_ASCII "])?"
#define U_HOST U_LABEL "(?:\\." U_LABEL ")*"

/* RFC 3986, appendix A; RFC 3987 adds the ranges of `more`, and of `priv` in queries. */
#define ESCAPED "%[0-9A-Fa-f]{2}"
#define UNRESERVED "0-9A-Za-z\\-._~"
#define SUB_DELIMS "!$&'()*+,;="
#define PCHAR(more) "(?:[" UNRESERVED SUB_DELIMS ":@" more "]|" ESCAPED ")"
#define PCHAR_NC(more) "(?:[" UNRESERVED SUB_DELIMS "@" more "]|" ESCAPED ")"
#define AUTHORITY(more)                                                                                             \
    "(?:(?:[" UNRESERVED SUB_DELIMS ":" more "]|" ESCAPED ")*@)?(?:\\[(?:" IPV6 "|[Vv][0-9A-Fa-f]+\\.[" UNRESERVED    \
    SUB_DELIMS ":]+)\\]|(?:[" UNRESERVED SUB_DELIMS more "]|" ESCAPED ")*)(?::[0-9]*)?"
#define SEGMENTS(more) "(?:/" PCHAR(more) "*)*"
#define ROOTED(more) "//" AUTHORITY(more) SEGMENTS(more) "|/(?:" PCHAR(more) "+" SEGMENTS(more) ")?"
#define TAIL(more, priv)                                                                                            \
    "(?:\\?(?:[" UNRESERVED SUB_DELIMS ":@/?" more priv "]|" ESCAPED ")*)?(?:#(?:[" UNRESERVED SUB_DELIMS ":@/?" more \
    "]|" ESCAPED ")*)?"
#define URI(more, priv) "[A-Za-z][0-9A-Za-z+\\-.]*:(?:" ROOTED(more) "|" PCHAR(more) "+" SEGMENTS(more) ")?" TAIL(more, priv)
#define RELATIVE(more, priv) "(?:" ROOTED(more) "|" PCHAR_NC(more) "+" SEGMENTS(more) ")?" TAIL(more, priv)
#define UCS                                                                                                         \
    "\u00A0-\uD7FF\uF900-\uFDCF\uFDF0-\uFFEF\U00010000-\U0001FFFD\U00020000-\U0002FFFD\U00030000-\U0003FFFD"     \
    "\U00040000-\U0004FFFD\U00050000-\U0005FFFD\U00060000-\U0006FFFD\U00070000-\U0007FFFD\U00080000-\U0008FFFD"        \
    "\U00090000-\U0009FFFD\U000A0000-\U000AFFFD\U000B0000-\U000BFFFD\U000C0000-\U000CFFFD\U000D0000-\U000DFFFD"        \
    "\U000E1000-\U000EFFFD"
#define UCS_PRIVATE "\uE000-\uF8FF\U000F0000-\U000FFFFD\U00100000-\U0010FFFD"

/* RFC 6570. */
#define VAR "(?:[0-9A-Za-z_]|" ESCAPED ")(?:\\.?(?:[0-9A-Za-z_]|" ESCAPED "))*(?::[1-9][0-9]{0,3}|\\*)?"
#define TEMPLATE                                                                                                     \
    "(?:[!#$&-;=?-\\[\\]_a-z~" UCS UCS_PRIVATE "]|" ESCAPED "|\\{[+#./;?&=,!@|]?" VAR "(?:," VAR ")*\\})*"

/* RFC 6901. */
#define POINTER "(?:/(?:[^/~]|~[01])*)*"

/* A part of the patterns of ECMA-262: groups within groups, no class of properties, no look-behind, no numbers of groups. */
#define RE_ESCAPE "\\\\(?:[dDsSwWfnrtv^$\\\\.*+?()\\[\\]{}|/]|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4})"
#define RE_CLASS "\\[\\^?(?:a-z|A-Z|0-9|[ !\"#$%&'()*+,./0-9:;<=>?@A-Z^_`a-z{|}~]|" RE_ESCAPE ")*\\]"
#define RE_ATOM "(?:[ !\"#%&',\\-/0-9:;<=>@A-Z_`a-z~.]|" RE_ESCAPE "|" RE_CLASS ")"
#define RE_TIMES "(?:(?:[*+?]|\\{[0-9]{1,3},?\\})(?:\\?)?)?"
#define RE_FLAT "(?:" RE_ATOM RE_TIMES ")*"
#define RE_GROUP "\\((?:\\?:)?" RE_FLAT "(?:\\|" RE_FLAT ")*\\)"
#define RE_SEQ "\\^?(?:(?:" RE_ATOM "|" RE_GROUP ")" RE_TIMES ")*\\$?"
#define REGEX RE_SEQ "(?:\\|" RE_SEQ ")*"

static int digits(const char *s, int at)
{
    return (s[at] - '0') * 10 + s[at + 1] - '0';
}

/* HH:MM:60 with an offset from UTC: a leap second where it is 23:59 there. */
static bool leap_second(const char *s, size_t n)
{
    if (n < 14 || memcmp(s + 5, ":60", 3) || s[2] != ':')
        return false;
    const char *zone = s + n - 6;
    size_t fraction = n - 14;
    for (size_t i = 0; i < fraction; i++)
        if (i ? s[8 + i] < '0' || s[8 + i] > '9' : s[8] != '.')
            return false;
    static const char at[] = {0, 1, 3, 4};
    for (size_t i = 0; i < sizeof at; i++)
        if (s[(int)at[i]] < '0' || s[(int)at[i]] > '9' || zone[1 + at[i]] < '0' || zone[1 + at[i]] > '9')
            return false;
    int h = digits(s, 0), m = digits(s, 3), zh = digits(zone, 1), zm = digits(zone, 4);
    if (fraction == 1 || zone[3] != ':' || (*zone != '+' && *zone != '-') || h > 23 || m > 59 || zh > 23 || zm > 59)
        return false;
    int utc = h * 60 + m + (*zone == '+' ? -1 : 1) * (zh * 60 + zm);
    return (utc + 1440) % 1440 == 1439;
}

/* The date is right if it is with another time. */
static bool leap_at_date(aios__rx *x, uint32_t rx, const char *s, size_t n, int *rc, aios_error *err)
{
    char other[] = "YYYY-MM-DDT00:00:00Z";
    bool is = false;
    if (n < 11 || (s[10] != 'T' && s[10] != 't') || !leap_second(s + 11, n - 11))
        return false;
    memcpy(other, s, 10);
    *rc = aios__rx_match(x, rx, other, sizeof other - 1, &is, err);
    return is;
}

/* What ENOTSUP names is a pattern all the same. */
static bool is_pattern(aios__rx *x, const char *s, size_t n, int *rc, aios_error *err)
{
    aios_error why = AIOS_INIT(aios_error);
    aios__rx *scratch = NULL;
    uint32_t e;
    *rc = aios__rx_new(x->ctx, &scratch, err);
    if (*rc)
        return false;
    int bad = aios__rx_parse(scratch, s, n, true, &e, &why);
    aios__rx_free(scratch);
    if (bad && bad != AIOS_ESCHEMA && bad != AIOS_ENOTSUP)
        *rc = aios__error_copy(err, &why);
    return bad != AIOS_ESCHEMA;
}

static const struct format {
    const char *name, *pattern, *other; /* texts of either; other may be NULL */
    enum { PATTERN, OR_LEAP, OR_LEAP_AT_DATE, OR_REGEX } more; /* and what a function knows */
} formats[] = {
    {"date", DATE, NULL, PATTERN},
    {"time", TIME, NULL, OR_LEAP},
    {"date-time", DATE "[Tt]" TIME, NULL, OR_LEAP_AT_DATE},
    {"duration", "P(?:" DUR_DATE "(?:" DUR_TIME ")?|" DUR_TIME "|[0-9]+W)", NULL, PATTERN},
    {"email", MAILBOX("", HOST), NULL, PATTERN},
    {"idn-email", MAILBOX(NOT_ASCII, U_HOST), NULL, PATTERN},
    {"hostname", "(?=.{1,253}$)" HOST, NULL, PATTERN},
    {"ipv4", IPV4, NULL, PATTERN},
    {"ipv6", IPV6, NULL, PATTERN},
    {"uri", URI("", ""), NULL, PATTERN},
    {"uri-reference", URI("", ""), RELATIVE("", ""), PATTERN},
    {"iri", URI(UCS, UCS_PRIVATE), NULL, PATTERN},
    {"iri-reference", URI(UCS, UCS_PRIVATE), RELATIVE(UCS, UCS_PRIVATE), PATTERN},
    {"uri-template", TEMPLATE, NULL, PATTERN},
    {"uuid", "[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}", NULL, PATTERN},
    {"json-pointer", POINTER, NULL, PATTERN},
    {"relative-json-pointer", "(?:0|[1-9][0-9]*)(?:#|" POINTER ")", NULL, PATTERN},
    {"regex", REGEX, NULL, OR_REGEX},
};

static const struct format *find(const char *name)
{
    for (size_t i = 0; name && i < AIOS__ARRAY_LEN(formats); i++)
        if (!strcmp(formats[i].name, name))
            return &formats[i];
    return NULL;
}

int aios__format_rx(aios__rx *x, const char *name, uint32_t *rx, bool *known, aios_error *err)
{
    const struct format *f = find(name);
    *known = f;
    *rx = AIOS__RX_ALL;
    uint32_t either[2];
    int rc = f ? aios__rx_parse(x, f->pattern, strlen(f->pattern), true, rx, err) : AIOS_OK;
    if (rc || !f || !f->other)
        return rc;
    either[0] = *rx;
    rc = aios__rx_parse(x, f->other, strlen(f->other), true, &either[1], err);
    return rc ? rc : aios__rx_or(x, either, 2, rx, err);
}

int aios__format_match(aios__rx *x, const char *name, uint32_t rx, const char *s, size_t n, bool *is, aios_error *err)
{
    const struct format *f = find(name);
    int rc = aios__rx_match(x, rx, s, n, is, err);
    if (rc || *is || !f)
        return rc;
    switch (f->more) {
    case OR_LEAP:
        *is = leap_second(s, n);
        break;
    case OR_LEAP_AT_DATE:
        *is = leap_at_date(x, rx, s, n, &rc, err);
        break;
    case OR_REGEX:
        *is = is_pattern(x, s, n, &rc, err);
        break;
    default:
        break;
    }
    return rc;
}

bool aios__format_open(const char *name)
{
    const struct format *f = find(name);
    return f && f->more == OR_REGEX;
}

bool aios__format_partial(const char *name)
{
    const struct format *f = find(name);
    return f && f->more != PATTERN;
}

int aios__format_not(aios__rx *x, const char *name, uint32_t rx, uint32_t *out, aios_error *err)
{
    static const char leap[] = "(?:.*[Tt])?[0-9]{2}:[0-9]{2}:60.*"; /* and times that are none */
    uint32_t either[2] = {rx};
    int rc = AIOS_OK;
    if (aios__format_partial(name)) {
        rc = aios__rx_parse(x, leap, sizeof leap - 1, true, &either[1], err);
        rc = rc ? rc : aios__rx_or(x, either, 2, &rx, err);
    }
    return rc ? rc : aios__rx_not(x, rx, out, err);
}
