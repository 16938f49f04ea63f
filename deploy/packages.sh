#!/bin/sh
# Installs the Debian or Ubuntu packages that the named groups need and this machine lacks:
#
#   sh deploy/packages.sh build servers tests
#
# Says what it installs and what for. Does nothing, and needs no rights, where all is there.
set -eu

packages() {
    cat <<'END'
build    make              the build
build    gcc               the build
build    libc6-dev         the build
build    pkg-config        the build
build    libpq-dev         PostgreSQL client library
build    librabbitmq-dev   RabbitMQ client library
build    libyaml-dev       reads the configuration file
build    libjansson-dev    reads headers and properties
build    libmicrohttpd-dev  health and metrics over HTTP
build    libcurl4-openssl-dev  webhooks for alerts, on the same OpenSSL
build    libssl-dev        TLS to broker and database
servers  postgresql        private server for demo and tests
servers  rabbitmq-server   private server for demo and tests
servers  python3           looks for free ports
demo     python3-psycopg2  the demo's shop
demo     python3-pika      the demo's consumer
tests    check             unit tests
tests    valgrind          unit tests
tests    openssl           certificates for the tests of TLS
tests    python3-pytest    integration tests
tests    python3-pytest-xdist integration tests, several at a time
tests    python3-psycopg2  integration tests
tests    python3-pika      integration tests
tests    strace            the benchmarks' own test
tests    prometheus        promtool, for the metrics
tests    strace            counts system calls
tests    faketime          a wall clock that jumps
tests    chromium          the console's page
tests    chromium-driver   the console's page
tests    python3-selenium  the console's page
tests    zsh               its completion
tests    pgbouncer         fault tests: a pooler in between
bench    python3-psycopg2  benchmarks: fills the table, reads the database's counters
bench    python3-pika      benchmarks: makes the queues
bench    strace            benchmarks: counts the relay's system calls
fuzz     clang             fuzzing
fuzz     libclang-rt-dev   fuzzing: libFuzzer and the sanitizers of clang
model    spin              checks the models of the protocol
model    gcc               compiles what spin writes
lint     cppcheck          static checks
lint     clang             static checks
lint     clang-tidy        static checks
lint     clang-format-14   source format
END
}

has() {
    case $1 in
    postgresql) # any version will do, with or without the metapackage
        set -- /usr/lib/postgresql/*/bin/postgres
        [ -x "$1" ] ;;
    libclang-rt-dev) # which older releases have in a package of clang itself
        set -- /usr/lib/llvm-*/lib/clang/*/lib/*/libclang_rt.fuzzer[-.]*
        [ -e "$1" ] ;;
    *)
        dpkg-query -W -f '${Status}\n' "$1" 2>/dev/null | grep -q '^install ok installed' ;;
    esac
}

# Packages start their services when they are installed; we only want the programs. Debian
# asks this file first. An administrator's own is left alone, and ours goes away again; should
# even that fail (a power cut), the mark in it lets the next run take it away.
policy=/usr/sbin/policy-rc.d
mark='# Written for a moment by the packages.sh of outbox-relay. Safe to delete.'

allow_services() {
    if grep -qsF "$mark" "$policy"; then
        rm -f "$policy"
    fi
}

forbid_services() {
    allow_services
    trap allow_services EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\n%s\nexit 101\n' "$mark" >"$policy"
        chmod 755 "$policy"
    fi
}

# As root. needrestart (Ubuntu) would restart unrelated services; a fresh cloud machine may
# still be busy with its own first updates.
install() {
    export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
    apt="apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0"
    forbid_services
    $apt update </dev/null
    # The first comes with clang then; the others are a snap on Ubuntu, and their tests are skipped.
    for package in libclang-rt-dev chromium chromium-driver; do
        apt-cache show "$package" >/dev/null 2>&1 ||
            set -- $(printf '%s\n' "$@" | grep -vx "$package")
    done
    $apt install --no-install-recommends "$@" </dev/null
}

if [ "${1-}" = --install ]; then
    shift
    install "$@"
    exit
fi

missing=
for group in "$@"; do
    for package in $(packages | awk -v g="$group" '$1 == g { print $2 }'); do
        case " $missing " in *" $package "*) continue ;; esac
        has "$package" || missing="$missing $package"
    done
done
[ -n "$missing" ] || exit 0

command -v apt-get >/dev/null || {
    echo "Missing here:$missing. This is no Debian or Ubuntu: please install them by hand." >&2
    exit 69
}
echo "Installing what this machine lacks (their services are not started):"
for package in $missing; do
    packages | awk -v p="$package" '$2 == p && !seen++ { $1 = $2 = ""; printf "  %-17s%s\n", p, $0 }'
done
if [ "$(id -u)" = 0 ]; then
    sh "$0" --install $missing
else
    sudo sh "$0" --install $missing
fi
