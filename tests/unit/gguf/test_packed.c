/* SPDX-License-Identifier: Apache-2.0 */
/* Packed images: the same logits from memory, a read image and a mapped one; whatever is wrong with an image, it is packed anew. */
#include "test.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "backend/gguf/packed.h"
#include "net_make.h"

enum { VOCAB = 262, N = 20, DATA_AT = 2 << 20 };

static char root[64], dir[80], model[80], image[340];
static float want[VOCAB];

/* What an opening said. */
typedef struct outcome {
    float logits[VOCAB];
    char log[2048];
    int rc;
    aios_error err;
} outcome;

static void keep_log(void *user, int32_t level, const char *msg)
{
    outcome *o = user;
    AIOS__UNUSED(level);
    strncat(o->log, msg, sizeof o->log - strlen(o->log) - 2);
    strcat(o->log, "\n");
}

static int refuse(void *user, aios_error *err)
{
    AIOS__UNUSED(user);
    return aios__fail(err, AIOS_ENOTSUP, "no such vocabulary");
}

static int count(void *user, aios_error *err)
{
    AIOS__UNUSED(err);
    ++*(int *)user;
    return AIOS_OK;
}

static void open_with(const aios__load_args *args, outcome *o)
{
    aios_ctx_config cfg = AIOS_INIT(aios_ctx_config);
    aios_ctx *ctx = NULL;
    aios__gguf *g = NULL;
    aios__net *net = NULL;
    aios__kv *kv = NULL;
    int32_t ids[N];
    memset(o, 0, sizeof *o);
    o->err.struct_size = sizeof o->err;
    for (int i = 0; i < N; i++)
        ids[i] = i * 7 % VOCAB;
    cfg.n_threads = 2;
    cfg.log = keep_log;
    cfg.log_user = o;
    cfg.log_level = AIOS_LOG_INFO;
    assert_int_equal(aios_ctx_new(&cfg, &ctx, &o->err), 0);
    o->rc = aios__gguf_open(ctx, model, false, &g, &o->err);
    if (!o->rc)
        o->rc = aios__net_open(ctx, g, args, &net, &o->err);
    if (!o->rc)
        o->rc = aios__kv_new(net, 64, &kv, &o->err);
    if (!o->rc)
        o->rc = aios__kv_eval(kv, ids, N, o->logits, 1, &o->err);
    aios__kv_free(kv);
    aios__net_free(net);
    aios__gguf_close(g);
    aios_ctx_free(ctx);
}

static void open_model(bool mapped, outcome *o)
{
    open_with(&(aios__load_args){.cache_dir = dir, .map_packed = mapped}, o);
    if (o->rc)
        fail_msg("%s", o->err.msg);
}

static bool hit(const outcome *o)
{
    return !strstr(o->log, "the weights are packed");
}

/* Opened both ways: it must be packed anew, give what it should, and leave an image that serves the next. */
static void assert_rebuilt(const char *what)
{
    outcome o;
    open_model(true, &o);
    if (hit(&o))
        fail_msg("%s: it was used", what);
    assert_memory_equal(o.logits, want, sizeof want);
    open_model(false, &o);
    if (!hit(&o))
        fail_msg("%s: no image was left: %s", what, o.log);
    assert_memory_equal(o.logits, want, sizeof want);
}

static void assert_goes_on_without(const char *what, const char *word)
{
    outcome o;
    open_model(false, &o);
    if (hit(&o) || !strstr(o.log, "not kept") || !strstr(o.log, word))
        fail_msg("%s: %s", what, o.log);
    assert_memory_equal(o.logits, want, sizeof want);
}

/* ---- files --------------------------------------------------------------------------------------------------------- */

static void write_model(uint64_t change)
{
    net_make m = {.arch = "llama", .n_embd = 256, .n_ff = 1024, .n_head = 4, .n_head_kv = 4, .head_dim = 64, .n_layer = 2};
    net_build(&m);
    if (change)
        m.p[m.n - change] ^= 0x11;
    FILE *f = fopen(model, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(m.p, 1, m.n, f), m.n);
    fclose(f);
    free(m.p);
}

static void find_image(void)
{
    DIR *d = opendir(dir);
    assert_non_null(d);
    image[0] = 0;
    for (struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] == '.')
            continue;
        assert_null(strstr(e->d_name, ".tmp"));
        assert_int_equal(image[0], 0);
        snprintf(image, sizeof image, "%s/%s", dir, e->d_name);
    }
    closedir(d);
}

static void flip(const char *path, long at)
{
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    fseek(f, at, at < 0 ? SEEK_END : SEEK_SET);
    int c = fgetc(f);
    assert_true(c != EOF);
    fseek(f, -1, SEEK_CUR);
    fputc(c ^ 0x40, f);
    fclose(f);
}

static long size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) ? -1 : (long)st.st_size;
}

static int setup(void **state)
{
    outcome o;
    AIOS__UNUSED(state);
    snprintf(root, sizeof root, "/tmp/aios-packed-XXXXXX");
    assert_non_null(mkdtemp(root));
    snprintf(dir, sizeof dir, "%s/a/b", root);
    snprintf(model, sizeof model, "%s/model 1.gguf", root);
    write_model(0);
    open_with(&(aios__load_args){0}, &o);
    assert_int_equal(o.rc, 0);
    memcpy(want, o.logits, sizeof want);
    open_model(false, &o);
    assert_false(hit(&o));
    find_image();
    return 0;
}

static int teardown(void **state)
{
    char cmd[128];
    AIOS__UNUSED(state);
    snprintf(cmd, sizeof cmd, "rm -rf %s", root);
    return system(cmd);
}

/* ---- tests --------------------------------------------------------------------------------------------------------- */

static void an_image_gives_the_same_bits_read_or_mapped(void **state)
{
    outcome o;
    AIOS__UNUSED(state);
    for (int mapped = 0; mapped < 2; mapped++) {
        open_model(mapped, &o);
        assert_true(hit(&o));
        assert_memory_equal(o.logits, want, sizeof want);
    }
    struct stat st;
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(stat(image, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void a_changed_byte_anywhere_is_found(void **state)
{
    AIOS__UNUSED(state);
    for (long at = 0; at < 104; at += 5) { /* its last eight bytes are the sum */
        flip(image, at);
        assert_rebuilt("header");
    }
    long n = size_of(image);
    for (long at = DATA_AT; at < n; at += 700001) {
        flip(image, at);
        assert_rebuilt("data");
    }
    flip(image, -1);
    assert_rebuilt("the last byte");
}

static void an_image_of_another_length_is_not_used(void **state)
{
    AIOS__UNUSED(state);
    long n = size_of(image);
    const long sizes[] = {0, 1, 100, 4096, DATA_AT, DATA_AT + 5000, n - 1, n + 1};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(sizes); i++) {
        assert_int_equal(truncate(image, sizes[i]), 0);
        assert_rebuilt("length");
    }
}

static void an_image_of_another_model_is_not_used(void **state)
{
    char other[350];
    outcome o;
    AIOS__UNUSED(state);
    snprintf(other, sizeof other, "%s.saved", image);
    assert_int_equal(rename(image, other), 0);
    write_model(5001); /* the last tensor, in a place that no sample looks at: the file's times tell */
    open_model(true, &o);
    assert_false(hit(&o));
    assert_memory_not_equal(o.logits, want, sizeof want);
    assert_int_equal(rename(other, image), 0); /* swapped */
    open_model(true, &o);
    assert_false(hit(&o));
    assert_memory_not_equal(o.logits, want, sizeof want);
    write_model(0);
    assert_rebuilt("the first model again");
}

static void a_model_that_was_replaced_is_packed_anew(void **state)
{
    char was[100];
    AIOS__UNUSED(state);
    snprintf(was, sizeof was, "%s.was", model);
    assert_int_equal(rename(model, was), 0);
    write_model(0);
    assert_rebuilt("another inode");
    unlink(was);
}

static void what_others_can_write_is_not_used(void **state)
{
    outcome o;
    AIOS__UNUSED(state);
    assert_int_equal(chmod(image, 0620), 0);
    assert_rebuilt("a file of the group");
    assert_int_equal(chmod(dir, 0777), 0);
    assert_goes_on_without("a folder of all", "another user");
    assert_int_equal(chmod(dir, 0700), 0);
    open_model(true, &o);
    assert_true(hit(&o));
    if (geteuid())
        return;
    assert_int_equal(chown(image, 12345, 0), 0);
    assert_rebuilt("a file of another");
    assert_int_equal(chown(dir, 12345, 0), 0);
    assert_goes_on_without("a folder of another", "another user");
    assert_int_equal(chown(dir, 0, 0), 0);
}

static void links_and_other_things_in_its_place_are_not_followed(void **state)
{
    char moved[400];
    AIOS__UNUSED(state);
    snprintf(moved, sizeof moved, "%s/elsewhere", root);
    assert_int_equal(rename(image, moved), 0);
    assert_int_equal(symlink(moved, image), 0);
    assert_rebuilt("a link");
    assert_int_equal(unlink(image), 0);
    assert_int_equal(mkfifo(image, 0600), 0);
    assert_rebuilt("a pipe");
    assert_int_equal(unlink(image), 0);
    assert_int_equal(mkdir(image, 0700), 0);
    assert_goes_on_without("a folder", "put in its place");
    assert_int_equal(rmdir(image), 0);
    assert_rebuilt("nothing");
}

static void only_one_process_writes(void **state)
{
    char temp[400];
    outcome o;
    AIOS__UNUSED(state);
    snprintf(temp, sizeof temp, "%s.tmp", image);
    assert_int_equal(unlink(image), 0);
    int fd = open(temp, O_RDWR | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_goes_on_without("locked", "another process");
    assert_true(size_of(temp) == 0);
    close(fd); /* as if that process had died */
    assert_rebuilt("a temporary file that was left");
    open_model(false, &o);
    find_image();
}

static void a_limit_on_files_is_no_failure(void **state)
{
    struct rlimit was, low;
    AIOS__UNUSED(state);
    assert_int_equal(unlink(image), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    low = was;
    low.rlim_cur = 1 << 20; /* beyond it a write would be a signal */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    assert_goes_on_without("a limit", "may not write");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    assert_rebuilt("after the limit");
}

static void folders_that_cannot_be_made_are_no_failure(void **state)
{
    outcome o;
    char bad[400];
    AIOS__UNUSED(state);
    snprintf(bad, sizeof bad, "%s/below", model);
    const char *const dirs[] = {"", bad, "/proc/aios"};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(dirs); i++) {
        open_with(&(aios__load_args){.cache_dir = dirs[i], .map_packed = true}, &o);
        assert_int_equal(o.rc, 0);
        assert_non_null(strstr(o.log, "not kept"));
        assert_memory_equal(o.logits, want, sizeof want);
    }
}

/* ---- the bound of the folder ---------------------------------------------------------------------------------------- */

static const char *in_dir(const char *name)
{
    static char path[400];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

/* A file of n bytes, last used so many seconds ago. */
static void put(const char *name, long n, long ago)
{
    int fd = open(in_dir(name), O_RDWR | O_CREAT, 0600);
    const struct timespec at[2] = {{.tv_sec = time(NULL) - ago}, {.tv_sec = time(NULL) - ago}};
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, n), 0);
    assert_int_equal(futimens(fd, at), 0);
    close(fd);
}

static bool is_there(const char *name)
{
    return size_of(in_dir(name)) >= 0;
}

static void open_bounded(uint64_t n_max, outcome *o)
{
    open_with(&(aios__load_args){.cache_dir = dir, .cache_bytes = n_max}, o);
    assert_int_equal(o->rc, 0);
    assert_memory_equal(o->logits, want, sizeof want);
}

#define OLDEST "a-0123456789abcdef.packed"
#define OLDER "b-0123456789abcdef.packed"
#define OLD "c.gguf-0123456789abcdef.packed"

static void what_was_not_used_for_the_longest_time_goes_first(void **state)
{
    static const char *const others[] = {"mine", "mine.packed", "x-0123456789abcdeg.packed", "x-0123456789abcdef.packed.bak", "x-0123456789abcdef.packed.tmp2"};
    outcome o;
    AIOS__UNUSED(state);
    long n = size_of(image);
    for (size_t i = 0; i < AIOS__ARRAY_LEN(others); i++)
        put(others[i], 10 * n, 1000);
    put(OLD, n, 10);
    put(OLDEST, n, 30);
    put(OLDER, n, 20);
    put("dead-0123456789abcdef.packed.tmp", n, 5);
    put("live-0123456789abcdef.packed.tmp", n, 40);
    int fd = open(in_dir("live-0123456789abcdef.packed.tmp"), O_RDWR);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_int_equal(unlink(image), 0);
    open_bounded((uint64_t)(3 * n), &o);
    assert_true(is_there(OLD) && !is_there(OLDER) && !is_there(OLDEST));
    assert_true(is_there("live-0123456789abcdef.packed.tmp") && !is_there("dead-0123456789abcdef.packed.tmp"));
    assert_true(size_of(image) == n);
    for (size_t i = 0; i < AIOS__ARRAY_LEN(others); i++) {
        assert_true(is_there(others[i]));
        unlink(in_dir(others[i]));
    }
    close(fd);
    unlink(in_dir("live-0123456789abcdef.packed.tmp"));
    put("other-0123456789abcdef.packed", 1, 0);
    assert_int_equal(unlink(image), 0);
    open_bounded((uint64_t)n, &o); /* one byte too many */
    assert_true(size_of(image) == n && !is_there("other-0123456789abcdef.packed") && !is_there(OLD));
}

static void use_keeps_an_image_young(void **state)
{
    struct stat st;
    outcome o;
    AIOS__UNUSED(state);
    const struct timespec at[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    for (int mapped = 0; mapped < 2; mapped++) {
        assert_int_equal(utimensat(AT_FDCWD, image, at, 0), 0);
        open_model(mapped, &o);
        assert_true(hit(&o));
        assert_int_equal(stat(image, &st), 0);
        assert_true(st.st_mtime > 1000);
    }
}

static void an_image_beyond_the_bound_is_not_kept_and_drives_none_out(void **state)
{
    outcome o;
    AIOS__UNUSED(state);
    long n = size_of(image);
    put(OLD, 100, 10);
    assert_int_equal(unlink(image), 0);
    open_bounded((uint64_t)n - 1, &o);
    assert_non_null(strstr(o.log, "may hold"));
    assert_true(is_there(OLD) && size_of(image) < 0);
    unlink(in_dir(OLD));
    assert_rebuilt("without a bound");
}

/* Opens `name`, made of the test's model, in another process. */
static pid_t open_elsewhere(const char *name, uint64_t n_max)
{
    pid_t pid = fork();
    if (pid)
        return pid;
    outcome o;
    snprintf(model, sizeof model, "%s/%s", root, name);
    open_with(&(aios__load_args){.cache_dir = dir, .cache_bytes = n_max}, &o);
    _exit(o.rc || memcmp(o.logits, want, sizeof want));
}

static void processes_that_write_at_once_stay_within_the_bound(void **state)
{
    enum { N_PROCESSES = 4 };
    char cmd[300];
    pid_t pids[N_PROCESSES];
    outcome o;
    AIOS__UNUSED(state);
    long n = size_of(image);
    for (int i = 0; i < N_PROCESSES; i += 2) { /* two write the same */
        snprintf(cmd, sizeof cmd, "cp '%s' %s/copy%d", model, root, i / 2);
        assert_int_equal(system(cmd), 0);
    }
    snprintf(cmd, sizeof cmd, "rm %s/*.packed", dir);
    for (int turn = 0; turn < 3; turn++) {
        assert_int_equal(system(cmd), 0);
        for (int i = 0; i < N_PROCESSES; i++)
            pids[i] = open_elsewhere(i / 2 ? "copy1" : "copy0", (uint64_t)(turn ? n : 2 * n));
        for (int i = 0; i < N_PROCESSES; i++) {
            int status = -1;
            assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
            assert_int_equal(status, 0);
        }
        long sum = 0;
        DIR *d = opendir(dir);
        for (struct dirent *e; (e = readdir(d));)
            sum += e->d_name[0] == '.' ? 0 : size_of(in_dir(e->d_name));
        closedir(d);
        assert_true(sum >= n && sum <= (turn ? n : 2 * n)); /* what two write at once may cost a third its place */
    }
    open_bounded((uint64_t)n, &o);
    open_model(true, &o);
    assert_true(hit(&o));
    find_image(); /* the only one */
}

/* A small disk, in a process of its own that may mount one; 77 where that is not allowed. */
static int fill_a_disk(const char *size, const char *word)
{
    outcome o;
    char options[32];
    snprintf(options, sizeof options, "size=%s", size);
    snprintf(dir, sizeof dir, "%s/disk", root);
    if (unshare(geteuid() ? CLONE_NEWUSER | CLONE_NEWNS : CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mkdir(dir, 0700) || mount("tmpfs", dir, "tmpfs", 0, options) || chmod(dir, 0700))
        return 77;
    open_with(&(aios__load_args){.cache_dir = dir, .cache_bytes = UINT64_MAX}, &o);
    find_image();
    return o.rc || memcmp(o.logits, want, sizeof want) || !strstr(o.log, word) || image[0];
}

static void a_full_disk_is_no_failure(void **state)
{
    int status = -1;
    pid_t pid = fork();
    AIOS__UNUSED(state);
    if (!pid)
        _exit(fill_a_disk("40m", "do not fit on the disk"));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(status, 0);
}

static int stop(void *user, double part)
{
    AIOS__UNUSED(user);
    AIOS__UNUSED(part);
    return 1;
}

/* Failures that are not the image's are handed on, and what runs beside runs once. */
static void what_runs_beside_and_cancelling_count_as_ever(void **state)
{
    outcome o;
    int n = 0;
    AIOS__UNUSED(state);
    for (int mapped = 0; mapped < 2; mapped++) {
        open_with(&(aios__load_args){.cache_dir = dir, .map_packed = mapped, .beside = refuse}, &o);
        assert_int_equal(o.rc, AIOS_ENOTSUP);
        assert_string_equal(o.err.msg, "no such vocabulary");
        open_with(&(aios__load_args){.cache_dir = dir, .map_packed = mapped, .progress = stop}, &o);
        assert_int_equal(o.rc, AIOS_ECANCELED);
    }
    open_with(&(aios__load_args){.cache_dir = dir, .beside = count, .beside_user = &n}, &o);
    assert_true(!o.rc && hit(&o) && n == 1);
    flip(image, -1);
    open_with(&(aios__load_args){.cache_dir = dir, .beside = count, .beside_user = &n}, &o);
    assert_true(!o.rc && !hit(&o) && n == 2);
}

static int keep_part(void *user, double part)
{
    *(double *)user = part;
    return 0;
}

static void progress_ends_with_one_whatever_the_way(void **state)
{
    outcome o;
    AIOS__UNUSED(state);
    for (int way = 0; way < 3; way++) { /* packed anew, read, mapped */
        double last = 0;
        if (!way)
            flip(image, -1);
        open_with(&(aios__load_args){.cache_dir = dir, .map_packed = way == 2, .progress = keep_part, .progress_user = &last}, &o);
        assert_int_equal(o.rc, 0);
        assert_int_equal(hit(&o), way > 0);
        assert_true(last == 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_image_gives_the_same_bits_read_or_mapped),
        cmocka_unit_test(a_changed_byte_anywhere_is_found),
        cmocka_unit_test(an_image_of_another_length_is_not_used),
        cmocka_unit_test(an_image_of_another_model_is_not_used),
        cmocka_unit_test(a_model_that_was_replaced_is_packed_anew),
        cmocka_unit_test(what_others_can_write_is_not_used),
        cmocka_unit_test(links_and_other_things_in_its_place_are_not_followed),
        cmocka_unit_test(only_one_process_writes),
        cmocka_unit_test(a_limit_on_files_is_no_failure),
        cmocka_unit_test(what_was_not_used_for_the_longest_time_goes_first),
        cmocka_unit_test(use_keeps_an_image_young),
        cmocka_unit_test(an_image_beyond_the_bound_is_not_kept_and_drives_none_out),
        cmocka_unit_test(processes_that_write_at_once_stay_within_the_bound),
        cmocka_unit_test(a_full_disk_is_no_failure),
        cmocka_unit_test(folders_that_cannot_be_made_are_no_failure),
        cmocka_unit_test(what_runs_beside_and_cancelling_count_as_ever),
        cmocka_unit_test(progress_ends_with_one_whatever_the_way),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
