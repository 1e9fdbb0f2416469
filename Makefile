# Everything that a person types. Nothing is installed outside target/.
.PHONY: help failover drill test test-stage stage-up stage-down tools build lint

help:
	@echo "make failover     the primary Region dies in front of you; Relight brings the standby up"
	@echo "make drill        the monthly drill, its hour shortened"
	@echo "make test         formatting, lints, all tests"
	@echo "make test-stage   the stage's scenes, events and conformance alone, twelve minutes on a quiet machine"
	@echo "make stage-up     leaves a stage standing to try things by hand; make stage-down ends it"

export RELIGHT_VENV := $(CURDIR)/target/venv
TARGET := $(or $(CARGO_TARGET_DIR),target)

# The emulators and cargo-lambda, in an environment of their own.
tools:
	@sh tests/stage/tools/setup.sh

# One profile for everything that runs here, so that the SDKs are built once.
build:
	@echo "building functions, application and stage (a few minutes the first time)"
	@cargo build --workspace --bins

failover drill: tools build
	@$(TARGET)/debug/stage $@

stage-up: tools build
	@sh tests/stage/tools/up.sh $(TARGET)

stage-down:
	@sh tests/stage/tools/down.sh $(TARGET)

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

# The whole workspace at once, here as in `build`: other choices of packages choose other features, and compile the SDKs anew.
test: tools build lint
	cargo test --workspace --no-fail-fast

test-stage: tools build
	cargo test --workspace --no-fail-fast --test ends --test conformance --test events --test scenes -- --test-threads 1
