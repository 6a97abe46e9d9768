# SPDX-License-Identifier: Apache-2.0
# The commands of the repository. Each installs what it misses (Debian 12) and builds what it needs.
#   TIDEWAITER_PRESET=asan make test   another preset of CMakePresets.json; the tree is build/<preset>/

PRESET := $(or $(TIDEWAITER_PRESET),release)
TREE := build/$(PRESET)
JOBS := $(shell nproc)
FUZZ_SECONDS ?= 30

# The presets with sanitizers are built by clang, which comes with the lint group.
COMPILER_GROUP := $(if $(filter asan tsan fuzz,$(PRESET)),lint)

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.SILENT:
.DEFAULT_GOAL := help

# $(call configure,PRESET,ARGUMENTS): quiet unless it fails.
define configure
mkdir -p build
cmake --preset $(1) $(2) >build/configure-$(1).log || { cat build/configure-$(1).log; exit 1; }
endef

# The tests are configured as soon as their packages are there, so that `make run` needs none of them and
# `make test` after it gets them all.
tests_if_possible = -DTIDEWAITER_TESTS=$$(tools/dependencies --check test >/dev/null && echo ON || echo OFF)
build = cmake --build build/$(1) --parallel $(JOBS) $(if $(2),--target $(2))

.PHONY: help
help: ## this list
	echo "make TARGET, where TARGET is one of:"
	sed -nE 's/^([a-z]+): ## (.*)/  \1\t\2/p' Makefile | expand -t 12

.PHONY: run
run: ## build, then run the agent on this machine and tell where its page is; Ctrl-C stops it
	$(MAKE) --no-print-directory build
	exec $(TREE)/tidewaiter run

.PHONY: demo
demo: ## build, then watch a real port exhaustion from GREEN to RED and back, in two minutes (root)
	$(MAKE) --no-print-directory build
	exec $(TREE)/tidewaiter lab run port-exhaustion

.PHONY: lab
lab: ## build, then run every lab scenario; 20 minutes (root)
	$(MAKE) --no-print-directory build
	exec $(TREE)/tidewaiter lab run all

.PHONY: build
build: ## install what is missing and build the program, build/release/tidewaiter
	tools/dependencies build $(COMPILER_GROUP)
	$(call configure,$(PRESET),$(tests_if_possible))
	$(call build,$(PRESET),tidewaiter)

.PHONY: test
test: ## build everything and run every test; the last line counts them
	tools/dependencies build test optional promtool $(COMPILER_GROUP)
	$(call configure,$(PRESET),$(tests_if_possible))
	$(call build,$(PRESET))
	tools/run_tests --preset $(PRESET) --jobs $(JOBS)

.PHONY: bench
bench: ## the benchmarks side by side: a table, and build/bench.json
	tools/dependencies build $(COMPILER_GROUP)
	$(call configure,$(PRESET),$(tests_if_possible) -DTIDEWAITER_BENCH=ON)
	$(call build,$(PRESET),tidewaiter-bench)
	$(TREE)/bin/tidewaiter-bench --json build/bench.json

.PHONY: lint
lint: ## rooms, format, licences, generated documents, clang-tidy
	tools/dependencies build test lint
	tools/lint

.PHONY: format
format: ## clang-format in place
	tools/dependencies lint
	git ls-files --cached --others --exclude-standard '*.h' '*.cpp' '*.c' | xargs -r clang-format-14 -i

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZ_SECONDS (30) each; findings and logs in build/fuzz/
	tools/dependencies build lint
	$(call configure,fuzz)
	$(call build,fuzz,tests/fuzz/all)
	shopt -s nullglob
	targets=(build/fuzz/bin/*fuzz*)
	[[ $${#targets[@]} -gt 0 ]] || { echo "fuzz: no target in build/fuzz/bin" >&2; exit 1; }
	for target in "$${targets[@]}"; do
	  name=$${target##*/}
	  mkdir -p build/fuzz/corpus/$$name
	  seeds=(tests/fuzz/corpus/$$name/)
	  [[ -d $${seeds[0]} ]] || seeds=()
	  $$target -max_total_time=$(FUZZ_SECONDS) -timeout=10 -print_final_stats=1 -artifact_prefix=build/fuzz/$$name- \
	    build/fuzz/corpus/$$name "$${seeds[@]}" >build/fuzz/$$name.log 2>&1 ||
	    { tail -n 60 build/fuzz/$$name.log; echo "fuzz: $$name found something: build/fuzz/$$name-*" >&2; exit 1; }
	  echo "fuzz: $$name: $$(sed -n 's/^stat::number_of_executed_units: *//p' build/fuzz/$$name.log) inputs, nothing found"
	done

.PHONY: docs
docs: ## write metrics.md, configuration.md and kernels.md in docs/ anew
	tools/dependencies build $(COMPILER_GROUP)
	$(call configure,$(PRESET),$(tests_if_possible))
	$(call build,$(PRESET),generate_docs)
	$(TREE)/bin/generate_docs docs

.PHONY: clean
clean: ## remove build/
	rm -rf build
