# SPDX-License-Identifier: Apache-2.0
# Sourced after setup.sh: what it takes to build for 64-bit ARM and to run that by QEMU. Libraries of that architecture are only unpacked
# under build-aarch64-root, by an apt with state of its own: the machine's packages stay those of its architecture.

arm_packages=(gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user)
arm_libraries=(libjansson-dev libjansson4 libcmocka-dev libcmocka0)
arm_root=$PWD/build-aarch64-root
arm_options=(--cross-file "$arm_root/root.ini" --cross-file scripts/aarch64.ini -Dhwloc=disabled -Dcurl=disabled -Dopenblas=disabled -Dsqlite=disabled -Dcrypto=disabled -Dpostgres=disabled)

fetch_arm_libraries() {
    local state=$logs_dir/apt file
    local options=(-qq -o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o Dir::State="$state" -o Dir::Cache="$state/cache"
        -o Dir::State::status=/dev/null -o Acquire::Languages=none -o APT::Sandbox::User=)
    mkdir -p "$state/lists/partial" "$state/cache/archives/partial" "$state/files" "$arm_root"
    apt-get "${options[@]}" update && (cd "$state/files" && apt-get "${options[@]}" download "${arm_libraries[@]}") || return
    for file in "$state"/files/*.deb; do
        dpkg -x "$file" "$arm_root" || return
    done
    printf "[constants]\nroot = '%s'\n" "$arm_root" >"$arm_root/root.ini"
}

# need_arm: false, with a word why, where it cannot be had
need_arm() {
    (need_packages "${arm_packages[@]}") && { [ -f "$arm_root/root.ini" ] || fetch_arm_libraries >"$logs_dir/arm" 2>&1; } && return
    tail -3 "$logs_dir/arm" >&2
    say "no cross compiler, QEMU or library for 64-bit ARM: kernels of that architecture are not tested"
    return 1
}
