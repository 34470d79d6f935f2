#!/bin/sh
# boot.sh DISK CGROUP: boots systemd as the first process of a machine of its own,
# whose root is the directory DISK and whose processes are in the cgroup CGROUP,
# which it makes. The first line it prints is the process id of systemd. It holds
# the machine until its standard input ends, as that does with whoever called it,
# and leaves nothing of it but DISK.
set -eu

# hold DISK CGROUP: outside of the machine. Whatever ends this process ends the
# machine.
hold() {
	mkdir "$2"
	trap 'clear_away "$2"' EXIT
	trap : INT TERM HUP PIPE
	# shellcheck disable=SC2016
	sh -c 'echo $$ >"$1/cgroup.procs" && shift && exec "$@"' join "$2" \
		setpriv --pdeathsig KILL \
		unshare --pid --mount --net --ipc --uts --cgroup --fork --kill-child --propagation private \
		sh "$0" inside "$1" </dev/null &
	held=$!
	cat >/dev/null || :
	kill -KILL "$held" 2>/dev/null || :
	wait "$held" || :
}

# clear_away CGROUP: ends what is there, and removes it.
clear_away() {
	echo 1 >"$1/cgroup.kill" || :
	tries=0
	until find "$1" -depth -type d -exec rmdir {} + 2>/dev/null || [ $((tries += 1)) -gt 200 ]; do sleep 0.05; done
}

# inside DISK: in the namespaces of the machine.
inside() {
	read -r pid _ </proc/self/stat # as the old /proc counts
	mount --bind "$1" "$1"
	cd "$1"
	programs
	devices
	system
	mount -t tmpfs -o mode=755 tmpfs run
	mount -t tmpfs tmpfs tmp
	pivot_root . old
	umount -l /old
	rmdir /old
	echo "$pid"
	exec >/dev/null 2>&1
	exec env -i container=systemdtest PATH=/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin \
		setpriv --bounding-set=-sys_time,-sys_module,-sys_rawio,-syslog,-mac_admin,-mac_override,-audit_control,-wake_alarm \
		/lib/systemd/systemd --system --log-target=journal --show-status=0
}

# programs: those of the machine that the test runs on, to be read. But for
# /usr/local, and for the units, of which this machine has its own.
programs() {
	mkdir -p old dev proc sys run tmp usr
	for name in bin sbin lib lib32 lib64 libx32; do
		if [ -L "/$name" ]; then
			ln -sfn "$(readlink "/$name")" "$name"
		elif [ -d "/$name" ]; then
			mkdir -p "$name" && read_only "/$name" "$name"
		fi
	done
	for dir in /usr/*; do
		[ "$dir" != /usr/local ] && [ -d "$dir" ] || continue
		mkdir -p ".$dir" && read_only "$dir" ".$dir"
	done
	mount --bind units lib/systemd/system
}

read_only() {
	mount --bind "$1" "$2"
	mount -o remount,bind,ro "$2"
}

# devices: those that cannot harm.
devices() {
	mount -t tmpfs -o mode=755,nosuid tmpfs dev
	for name in null zero full random urandom tty; do
		: >"dev/$name"
		mount --bind "/dev/$name" "dev/$name"
	done
	mkdir dev/pts dev/shm
	mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
	mount -t tmpfs tmpfs dev/shm
	ln -s pts/ptmx dev/ptmx
	ln -s /proc/self/fd dev/fd
}

# system: what the kernel shows and lets be set, where that is this machine's
# alone. It has a boot id of its own, a new one with each boot.
system() {
	mount -t proc -o nosuid,nodev,noexec proc proc
	for name in proc/sys proc/sysrq-trigger proc/irq proc/bus; do
		[ ! -e "$name" ] || read_only "$name" "$name"
	done
	mount --bind proc/sys/net proc/sys/net
	mount -o remount,bind,rw proc/sys/net
	cat /proc/sys/kernel/random/uuid >boot-id
	read_only boot-id proc/sys/kernel/random/boot_id
	mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys
	mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 sys/fs/cgroup
}

case $1 in
inside) inside "$2" ;;
*) hold "$@" ;;
esac
