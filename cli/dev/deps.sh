#!/bin/sh
# Installs, with apt-get, the programs among its arguments that are missing:
#   redis mariadb     what sluice dev needs
#   java maven        what the tests on a real Apache Kafka need
#   pip               what the tests on a Valkey and make fuzz-api need
#   curl              what the test of the printed curl lines needs
#   python node       what the tests of the guide's clients need
#   npm               what the check of the k6 scripts' types needs
#   promtool          what the test of the alert rules needs
#   nginx haproxy     what the test of the proxies in deploy/ needs
#   make luacheck cc  what CI, make check and the race detector need
# Where it cannot, it says what to install and ends with 1. The services that
# packages bring are neither started nor enabled: sluice starts servers of its own.
set -eu

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
packages=
need() { # program package
	command -v "$1" >/dev/null 2>&1 || packages="$packages $2"
}
for part; do
	case $part in
	redis) need redis-server redis-server ;;
	mariadb) need mariadbd mariadb-server ;;
	java) need java default-jre-headless ;;
	maven) need mvn maven ;;
	pip) need pip3 python3-pip ;;
	curl) need curl curl ;;
	python) need python3 python3 ;;
	node) need node nodejs ;;
	npm) need npm npm ;;
	promtool) need promtool prometheus ;;
	nginx) need nginx nginx-light ;;
	haproxy) need haproxy haproxy ;;
	make) need make make ;;
	luacheck) need luacheck lua-check ;;
	cc) need cc 'gcc libc6-dev' ;;
	*) echo "deps.sh: unknown part: $part" >&2 && exit 2 ;;
	esac
done
[ -n "$packages" ] || exit 0

give_up() {
	echo "deps.sh: $1; install these (names of Debian's packages), then try again:$packages" >&2
	exit 1
}
command -v apt-get >/dev/null 2>&1 || give_up 'no apt-get here'
as_root=
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null 2>&1 || give_up 'neither root nor sudo'
	as_root=sudo
fi

echo "deps.sh: installing$packages" >&2
# Packages ask policy-rc.d whether they may start their service.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	trap '$as_root rm -f $policy' EXIT
	trap 'exit 130' INT TERM
	printf '#!/bin/sh\nexit 101\n' | $as_root tee $policy >/dev/null
	$as_root chmod 755 $policy
fi
$as_root apt-get -q update >&2 || echo 'deps.sh: apt-get update failed, going on with the lists there are' >&2
# shellcheck disable=SC2086 # a list of words
$as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends $packages >&2 ||
	give_up 'apt-get failed'
if [ -d /run/systemd/system ]; then
	for service in redis-server mariadb prometheus nginx haproxy; do
		case $packages in *"$service"*) $as_root systemctl disable --quiet $service || true ;; esac
	done
fi
