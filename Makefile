# outbox-relay. `make` builds build/outbox-relay; `make help` lists the targets.
#
#   V=1                          show whole commands
#   DEVELOPER=1                  warnings are errors
#   SANITIZE=address,undefined   instrumented, in a folder of its own
#   SANITIZE=thread              (the same)
#   COVERAGE=1                   with gcov counters, in a folder of its own
#   FAILPOINTS=1                 with relay/base/failpoint.h, in a folder of its own

PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
MANDIR ?= $(PREFIX)/share/man
COMPLETIONDIR ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR ?= $(PREFIX)/share/zsh/site-functions
UNITDIR ?= $(PREFIX)/lib/systemd/system
SYSCONFDIR ?= /etc
DESTDIR ?=
CC ?= cc
PKG_CONFIG ?= pkg-config
SHELL = /bin/sh

VERSION = 0.1.0
PKGS = libpq librabbitmq yaml-0.1 jansson openssl libmicrohttpd

comma := ,
B = build$(if $(SANITIZE),-$(subst $(comma),-,$(SANITIZE)))$(if $(COVERAGE),-coverage)$(if $(FAILPOINTS),-failpoints)

WARNINGS = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wwrite-strings \
	-Wvla -Wformat=2 -Wundef -Wpointer-arith -Wimplicit-fallthrough $(if $(DEVELOPER),-Werror)
# Instrumented code makes gcc 12 see null format strings where there are none.
WARNINGS += $(if $(findstring clang,$(CC)),,$(if $(SANITIZE),-Wno-format-truncation -Wno-format-overflow))
# Instrumented code is for finding mistakes: -O1 builds faster.
OPTIMISE = $(if $(COVERAGE),-O0 --coverage,$(if $(SANITIZE),-O1,-O2))
# What Debian's hardening=+all gives, and what gcc 12 takes besides.
HARDENING = -fstack-protector-strong -fstack-clash-protection -fcf-protection -fPIE \
	-fno-strict-aliasing -fno-delete-null-pointer-checks
HARDENING_LINK = -pie -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack -Wl,--as-needed
ifeq ($(SANITIZE)$(COVERAGE),)
HARDENING += -D_FORTIFY_SOURCE=2 -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
endif

ALL_CFLAGS = -std=gnu11 -g -pthread $(OPTIMISE) $(WARNINGS) $(HARDENING) \
	$(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer) \
	-ffile-prefix-map=$(CURDIR)/= $(CFLAGS)
# POSIX and GNU interfaces everywhere, so that no file needs a feature macro of its own.
ALL_CPPFLAGS = -D_GNU_SOURCE -Irelay -I$(B) -DVERSION='"$(VERSION)"' \
	$(if $(FAILPOINTS),-DFAILPOINTS) \
	-include relay/base/banned.h -MMD -MP $(shell $(PKG_CONFIG) --cflags $(PKGS)) $(CPPFLAGS)
ALL_LDFLAGS = $(HARDENING_LINK) $(if $(SANITIZE),-fsanitize=$(SANITIZE)) \
	$(if $(COVERAGE),--coverage) $(LDFLAGS)
LIBS = $(shell $(PKG_CONFIG) --libs $(PKGS)) -ldl

Q = $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' $(1) $(2))

SOURCES := $(filter-out $(if $(FAILPOINTS),,relay/base/failpoint.c),$(wildcard relay/*/*.c))
HEADERS := $(wildcard relay/*/*.h)
MIGRATIONS := $(sort $(wildcard schema/[0-9]*.sql)) schema/roles.sql
CONSOLE := $(wildcard relay/monitor/console/*.html relay/monitor/console/*.css relay/monitor/console/*.js relay/monitor/console/*.svg)
OBJECTS = $(SOURCES:%.c=$(B)/%.o) $(B)/schema.o $(B)/console.o
LIBRARY = $(B)/librelay.a
PROGRAM = $(B)/outbox-relay

.PHONY: all
all: $(PROGRAM) ## build/outbox-relay

$(PROGRAM): $(B)/relay/main.o $(LIBRARY)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(LIBRARY): $(OBJECTS)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(B)/%.o: %.c Makefile
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -c -o $@ $<

# The migrations travel inside the binary.
$(B)/schema.c: $(MIGRATIONS) schema/embed.sh
	$(call say,EMBED,$@)
	$(Q)mkdir -p $(@D) && sh schema/embed.sh $(MIGRATIONS) > $@.new && mv $@.new $@

# So does the console's page.
$(B)/console.c: $(CONSOLE) relay/monitor/console/embed.sh
	$(call say,EMBED,$@)
	$(Q)mkdir -p $(@D) && sh relay/monitor/console/embed.sh $(CONSOLE) > $@.new && mv $@.new $@

$(B)/schema.o $(B)/console.o: $(B)/%.o: $(B)/%.c
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -c -o $@ $<

-include $(OBJECTS:.o=.d) $(B)/relay/main.d

.PHONY: clean
clean: ## remove all build folders
	rm -rf build build-*

.PHONY: help
help: ## this list
	@sed -n '2,/^$$/s/^# \{0,1\}//p' Makefile
	@sed -n 's/^\([a-z-]*\):.* ## /  \1\t/p' Makefile | expand -t 19

# --- demo and tests --------------------------------------------------------------------------

.PHONY: demo test test-fault soak
demo: ## the main job on private servers, on the terminal
	@sh deploy/demo.sh
test: ## all tests, on private servers
	@sh tests/run.sh
test-fault: ## all fault scenarios, which take long; writes tests/fault/RESULTS.md
	@sh tests/run.sh all-faults
soak: ## random faults for MINUTES (10), drawn by SEED; writes tests/fault/RESULTS.md
	@sh tests/run.sh soak --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED))

.PHONY: mutants
mutants: ## the relay with one mistake at a time: the tests must find each
	@sh deploy/packages.sh build servers tests
	@/usr/bin/python3 tests/mutants/run.py $(MUTANTS)

.PHONY: simulate
simulate: simulation ## a million steps of relays in any weather (SEEDS=20 STEPS=50000, SEED=7: that one)
	@$(SIMULATION) $(if $(SEED),1 $(SEED),$(or $(SEEDS),20) 1) $(or $(STEPS),50000)

.PHONY: model
model: ## the protocol's models, checked by spin
	@sh deploy/packages.sh model
	@sh tests/model/check.sh

.PHONY: bench bench-programs
bench: ## all measurements (BENCH="backlog latency": these; QUICK=1: small; FULL=1: hours)
	@sh deploy/packages.sh build servers bench
	@$(MAKE) -s --no-print-directory all bench-programs
	@/usr/bin/python3 tests/bench/run.py $(BENCH)

BENCH_PROGRAMS = $(B)/tests/bench/bare $(B)/tests/bench/latency \
	$(B)/tests/bench/poller_locked $(B)/tests/bench/poller_lease
bench-programs: $(BENCH_PROGRAMS)
$(filter %poller_locked %poller_lease,$(BENCH_PROGRAMS)): $(B)/tests/bench/poller.o
$(BENCH_PROGRAMS): $(B)/tests/bench/%: $(B)/tests/bench/%.o $(B)/tests/bench/publisher.o
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

# --- checks ----------------------------------------------------------------------------------

CLANG_FORMAT ?= clang-format-14
CLANG_TIDY ?= clang-tidy
FORMATTED = $(wildcard relay/*.c relay/*/*.[ch] tests/*/*.[ch])

.PHONY: check
check: format-check layers headers lint test ## all that CI runs

.PHONY: format format-check
format: ## lay out the C sources
	$(Q)$(CLANG_FORMAT) -i $(FORMATTED)
format-check: ## fail where `make format` would change something
	$(Q)bad=; for f in $(FORMATTED); do $(CLANG_FORMAT) $$f | cmp -s - $$f || \
		{ echo "$$f: make format would change it"; bad=1; }; done; [ -z "$$bad" ]

.PHONY: layers
layers: ## fail where a file includes a header from a floor above its own
	$(Q)sh tests/layers.sh

# A header that needs another one in front of it is broken.
.PHONY: headers
headers: $(HEADERS:%.h=$(B)/headers/%.ok) ## fail where a header does not compile alone

$(B)/headers/%.ok: %.h
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CPPFLAGS) -MF $(@:.ok=.d) -MT $@ $(ALL_CFLAGS) -Werror \
		-fsyntax-only -x c $<
	$(Q)touch $@

.PHONY: lint
lint: $(SOURCES:%.c=$(B)/lint/%.ok) $(B)/lint/relay/base/failpoint.ok ## fail where cppcheck or clang-tidy finds something
	$(call say,LINT,cppcheck)
	$(Q)cppcheck --quiet --error-exitcode=1 --std=c11 --inline-suppr \
		--enable=warning,performance,portability \
		--suppress=missingIncludeSystem --suppress=legacyUninitvar \
		-D_GNU_SOURCE -DVERSION='""' -Irelay relay

$(B)/lint/relay/base/failpoint.ok: ALL_CPPFLAGS += -DFAILPOINTS
# Each file in a process of its own: version 14 carries state from one to the next.
$(B)/lint/%.ok: %.c .clang-tidy $(HEADERS)
	$(call say,LINT,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG_TIDY) --quiet $< -- -std=gnu11 \
		$(filter-out -MMD -MP,$(ALL_CPPFLAGS)) 2>$(@:.ok=.log) || { cat $(@:.ok=.log); false; }
	$(Q)touch $@

# --- install ---------------------------------------------------------------------------------

.PHONY: install uninstall
install: $(PROGRAM) ## into $(DESTDIR)$(PREFIX); an existing configuration stays as it is
	install -D -m 755 $(PROGRAM) $(DESTDIR)$(BINDIR)/outbox-relay
	$(if $(wildcard deploy/outbox-relay.1),install -D -m 644 deploy/outbox-relay.1 \
		$(DESTDIR)$(MANDIR)/man1/outbox-relay.1)
	install -D -m 644 deploy/completion.bash $(DESTDIR)$(COMPLETIONDIR)/outbox-relay
	install -D -m 644 deploy/completion.zsh $(DESTDIR)$(ZSHDIR)/_outbox-relay
	install -d $(DESTDIR)$(UNITDIR)
	sed 's|/usr/local/bin/|$(BINDIR)/|' deploy/outbox-relay.service \
		>$(DESTDIR)$(UNITDIR)/outbox-relay.service
	test -e $(DESTDIR)$(SYSCONFDIR)/outbox-relay/outbox-relay.yaml || \
		install -D -m 644 config/outbox-relay.yaml \
			$(DESTDIR)$(SYSCONFDIR)/outbox-relay/outbox-relay.yaml

uninstall: ## but for the configuration
	rm -f $(DESTDIR)$(BINDIR)/outbox-relay $(DESTDIR)$(MANDIR)/man1/outbox-relay.1 \
		$(DESTDIR)$(COMPLETIONDIR)/outbox-relay $(DESTDIR)$(ZSHDIR)/_outbox-relay \
		$(DESTDIR)$(UNITDIR)/outbox-relay.service

# --- tests -----------------------------------------------------------------------------------
# tests/unit/test_x.c holds the suite of one module; unit.c is the main of each. A fake listed
# before the library wins over the real object of the same symbols.

UNIT_TESTS := $(patsubst tests/unit/%.c,$(B)/tests/unit/%,$(wildcard tests/unit/test_*.c))
CHECK_FLAGS = $(shell $(PKG_CONFIG) --cflags check)
CHECK_LIBS = $(shell $(PKG_CONFIG) --libs check)

.PHONY: unit-tests
unit-tests: $(UNIT_TESTS)

$(B)/tests/%.o: ALL_CPPFLAGS += -Itests $(CHECK_FLAGS)
$(UNIT_TESTS): $(B)/tests/unit/%: $(B)/tests/unit/%.o $(B)/tests/unit/unit.o $(LIBRARY)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(LIBRARY) $(LIBS) $(CHECK_LIBS)

fakes = $(1:%=$(B)/tests/fake/fake_%.o)
suites = $(1:%=$(B)/tests/unit/test_%)
$(call suites,batch work settle): $(call fakes,batch)
$(call suites,link parking report): $(call fakes,batch clock)
$(call suites,sender): $(call fakes,batch clock broker)
$(call suites,turns): $(call fakes,batch clock store)
$(call suites,relay relay_memory): $(call fakes,batch clock broker config store system)
$(call suites,relay relay_memory): ALL_LDFLAGS += -Wl,--wrap=poll,--wrap=backoff_random
$(call suites,resolve pg_hosts): $(call fakes,resolver)
$(call suites,resolve pg_hosts): ALL_LDFLAGS += -Wl,--wrap=getaddrinfo
$(call suites,memory relay_memory): $(call fakes,malloc)
$(call suites,memory relay_memory): ALL_LDFLAGS += \
	-Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=emalloc,--wrap=erealloc

# Preloaded into the program by tests that take things away from it.
.PHONY: preloads
preloads: $(patsubst tests/preload/%.c,$(B)/tests/preload/%.so,$(wildcard tests/preload/*.c))
$(B)/tests/preload/%.so: tests/preload/%.c Makefile
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D) && $(CC) -D_GNU_SOURCE -std=gnu11 -g -O2 $(WARNINGS) -fPIC -shared -o $@ $<

# --- fuzzing ---------------------------------------------------------------------------------
# libFuzzer targets, each with its seeds in tests/fuzz/corpus/. Built by clang in a folder of its
# own: this Makefile calls itself for that.

FUZZERS := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_CC ?= clang

.PHONY: fuzz fuzzers
fuzz: ## fuzz every parser and encoder, SECONDS=60 each; findings stay in build-fuzz/
	@sh tests/fuzz/run.sh $(or $(SECONDS),60)
fuzzers:
	$(Q)$(MAKE) --no-print-directory CC="$(FUZZ_CC)" SANITIZE=fuzzer-no-link,address,undefined \
		B=build-fuzz $(FUZZERS:%=build-fuzz/tests/fuzz/%)

$(FUZZERS:%=$(B)/tests/fuzz/%): $(B)/tests/fuzz/%: $(B)/tests/fuzz/%.o $(LIBRARY)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -fsanitize=fuzzer -o $@ $(filter %.o,$^) $(LIBRARY) $(LIBS)
$(B)/tests/fuzz/fuzz_frames: ALL_LDFLAGS += -Wl,--wrap=stream_connect

# The real relay between a simulated database and a simulated broker: tests/simulation.
SIMULATION = $(B)/tests/simulation/simulation
SIMULATION_OBJECTS = $(patsubst %.c,$(B)/%.o,$(wildcard tests/simulation/*.c)) $(call fakes,batch config)
$(SIMULATION): $(SIMULATION_OBJECTS) $(LIBRARY)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -Wl,--wrap=poll,--wrap=backoff_random -o $@ \
		$(SIMULATION_OBJECTS) $(LIBRARY) $(LIBS) $(CHECK_LIBS)

.PHONY: simulation
simulation: $(SIMULATION)

.SECONDARY:
-include $(wildcard $(B)/tests/*/*.d)
