/* SPDX-License-Identifier: Apache-2.0 */
/* Where the process that holds a store answers: a socket of the user's alone, named by the store's file. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control.h"

static int fail(aios_error *err, int code, const char *what, const char *path, int sys)
{
    err->code = code;
    err->sys = sys;
    snprintf(err->msg, sizeof err->msg, "control socket: %s%s%.200s%s%s", what, *path ? " " : "", path, sys ? ": " : "",
             sys ? strerror(sys) : "");
    return code;
}

/* A folder of this user's, which nobody else may enter. */
static bool is_ours(const char *path)
{
    struct stat st;
    return !lstat(path, &st) && S_ISDIR(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & (S_IRWXG | S_IRWXO));
}

static int make_folder(const char *path, aios_error *err)
{
    if (mkdir(path, 0700) && errno != EEXIST)
        return fail(err, AIOS_EIO, "no folder", path, errno);
    return is_ours(path) ? AIOS_OK : fail(err, AIOS_EDENIED, "this is not a folder of this user's alone (mode 0700):", path, 0);
}

static int find_folder(char *out, size_t n, aios_error *err)
{
    const char *xdg = getenv("XDG_RUNTIME_DIR");
    bool ours = xdg && *xdg == '/' && is_ours(xdg);
    int k = ours ? snprintf(out, n, "%s/aios", xdg) : snprintf(out, n, "/tmp/aios-%lu", (unsigned long)geteuid());
    return k > 0 && (size_t)k < n ? make_folder(out, err) : fail(err, AIOS_EINVAL, "XDG_RUNTIME_DIR is too long", "", 0);
}

static const char scheme[] = "sqlite:";

bool cli_control_able(const char *uri)
{
    return uri && !strncmp(uri, scheme, sizeof scheme - 1);
}

int control_path(const char *uri, struct sockaddr_un *out, aios_error *err)
{
    struct stat st;
    char folder[sizeof out->sun_path];
    const char *file = uri + sizeof scheme - 1;
    if (!cli_control_able(uri))
        return fail(err, AIOS_ENOTSUP, "only stores in files have one: sqlite:FILE", "", 0);
    if (stat(file, &st))
        return fail(err, errno == ENOENT ? AIOS_ENOENT : AIOS_EIO, "the store", file, errno);
    int rc = find_folder(folder, sizeof folder, err);
    if (rc)
        return rc;
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    int k =
        snprintf(out->sun_path, sizeof out->sun_path, "%s/%llx-%llx.sock", folder, (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
    return k > 0 && (size_t)k < sizeof out->sun_path ? AIOS_OK : fail(err, AIOS_EINVAL, "its path is too long:", folder, 0);
}

bool control_peer(int fd, long *pid)
{
    struct ucred who;
    socklen_t n = sizeof who;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) || who.uid != geteuid())
        return false;
    *pid = who.pid;
    return true;
}

/* Whoever has the store's lock may call it: nobody else listens there, so what is there was left behind. */
void control_sweep(const struct sockaddr_un *at)
{
    struct stat st;
    if (lstat(at->sun_path, &st) || !S_ISSOCK(st.st_mode))
        return;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    if (connect(fd, (const struct sockaddr *)at, sizeof *at) && errno == ECONNREFUSED)
        unlink(at->sun_path);
    close(fd);
}
