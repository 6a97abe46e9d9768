// SPDX-License-Identifier: Apache-2.0
#include "output/metrics.h"

#include <array>

namespace tidewaiter::output {
namespace {

constexpr std::string_view kTupleLabels = "netns, src, dst, dport";
constexpr std::string_view kListenerLabels = "netns, addr, port";

constexpr std::array<MetricDeclaration, 44> kMetrics{{
    {"tidewaiter_port_pressure_ratio", MetricKind::kGauge, kTupleLabels,
     "Share of the tuple's ports that connect() cannot give: live connections and TIME_WAITs that are not reusable.",
     0},
    {"tidewaiter_preferred_parity_ratio", MetricKind::kGauge, kTupleLabels,
     "The same over the parity that connect() tries first; near 1 every connect() walks thousands of ports.", 0},
    {"tidewaiter_time_wait_ratio", MetricKind::kGauge, kTupleLabels,
     "Share of the tuple's ports held by TIME_WAIT and FIN_WAIT2 mini-sockets that are not reusable.", 0},
    {"tidewaiter_free_ports", MetricKind::kGauge, kTupleLabels,
     "Ports that connect() could give now; for dst=\"other\" the fewest of any tuple in it.", 0},
    {"tidewaiter_time_to_cliff_seconds", MetricKind::kGauge, kTupleLabels,
     "Until fewer than 1 % of the preferred ports are free at the present demand; 0 is past it, +Inf never.", 0},
    {"tidewaiter_time_to_exhaustion_seconds", MetricKind::kGauge, kTupleLabels,
     "Until no port is free at the present demand; 0 is now, +Inf never.", 0},
    {"tidewaiter_host_port_pressure_ratio", MetricKind::kGauge, "netns",
     "The highest port pressure ratio of any tuple.", 0},
    {"tidewaiter_host_time_wait_ratio", MetricKind::kGauge, "netns", "The highest TIME_WAIT ratio of any tuple.", 0},
    {"tidewaiter_host_literal_port_pressure_ratio", MetricKind::kGauge, "netns",
     "Sockets on ports of the range over its unreserved size, destinations ignored.", 0},
    {"tidewaiter_host_literal_time_wait_ratio", MetricKind::kGauge, "netns",
     "TIME_WAITs on ports of the range over its unreserved size, destinations ignored.", 0},
    {"tidewaiter_host_port_capacity", MetricKind::kGauge, "netns",
     "Ports that each source and destination can use: the range without reserved and locked ports.", 0},
    {"tidewaiter_listener_accept_queue", MetricKind::kGauge, kListenerLabels, "Connections that wait for accept().", 0},
    {"tidewaiter_listener_accept_limit", MetricKind::kGauge, kListenerLabels,
     "Limit of the accept queue; one more than this fits.", 0},
    {"tidewaiter_listener_half_open", MetricKind::kGauge, kListenerLabels, "Handshakes that wait for the final ACK.",
     0},
    {"tidewaiter_listener_drops_total", MetricKind::kCounter, kListenerLabels,
     "Packets that the listener dropped; a dropped final ACK counts twice.", 0},
    {"tidewaiter_listener_synack_retransmits_total", MetricKind::kCounter, kListenerLabels,
     "SYN-ACKs that were sent again for want of the final ACK; addr is the one that was connected to.", 1},
    {"tidewaiter_listener_dropped_final_acks_total", MetricKind::kCounter, "netns, port",
     "Final ACKs dropped because the accept queue was full: their clients believe to be connected.", 1},
    {"tidewaiter_connect_attempts_total", MetricKind::kCounter, kTupleLabels,
     "Logical TCP connects since the agent's start, failed ones included.", 1},
    {"tidewaiter_connect_failures_total", MetricKind::kCounter, "netns, src, dst, dport, cause",
     "Connects that ended without a connection. cause: timeout, addr_not_available, addr_in_use, refused, reset, "
     "unreachable, denied, resources, other; aborted, given up early by the application, which is no failure; pre_syn, "
     "failed before a SYN for a reason that was not seen.",
     1},
    {"tidewaiter_connect_duration_seconds", MetricKind::kHistogram, kTupleLabels,
     "From the start of connect() to the established connection; those whose end had to be inferred are not in it.", 1},
    {"tidewaiter_port_search_duration_seconds", MetricKind::kHistogram, kTupleLabels,
     "From the start of connect() to the SYN, or to EADDRNOTAVAIL; connects whose SYN was sent again are not in it.",
     1},
    {"tidewaiter_port_search_cpu_seconds_total", MetricKind::kCounter, kTupleLabels,
     "Time spent in port searches, failed ones included: all of it is CPU of the connecting threads.", 1},
    {"tidewaiter_syn_retransmits_total", MetricKind::kCounter, kTupleLabels, "SYNs that this host sent again.", 1},
    {"tidewaiter_connect_retries_total", MetricKind::kCounter, kTupleLabels,
     "Of the attempts: those that answer a failure of the same process within 5 s.", 1},
    {"tidewaiter_retry_burst_index", MetricKind::kGauge, "netns, src, dst, dport, width",
     "How bunched retries are at that scale, 0 even to 1 in step; absent with few; for dst=\"other\" the highest of "
     "any "
     "tuple in it.",
     1},
    {"tidewaiter_reconnects_total", MetricKind::kCounter, kTupleLabels,
     "Connects to a tuple that had a session in the last 60 s.", 1},
    {"tidewaiter_connect_port_probes_total", MetricKind::kCounter, kTupleLabels,
     "Connects with a port range of one whose port was taken: a connector's probes, neither attempts nor failures.", 1},
    {"tidewaiter_decision_to_send_seconds", MetricKind::kHistogram, kTupleLabels,
     "From an order's decision to its first byte, net of what a gate held back on purpose, as programs tell it; orders "
     "that were never sent are not in it.",
     1},
    {"tidewaiter_retry_queue_depth", MetricKind::kGauge, kTupleLabels,
     "Retries that programs have scheduled and neither fired nor cancelled.", 1},
    {"tidewaiter_launch_error_seconds", MetricKind::kHistogram, "netns",
     "How far orders were sent from the time that their schedule gave them, early or late.", 0},
    {"tidewaiter_send_clumping_index", MetricKind::kGauge, "netns, width",
     "How much sending bunched at that scale what the schedule had spread, -1 to 1, over the last 60 s; absent with "
     "few.",
     0},
    {"tidewaiter_source_active", MetricKind::kGauge, "source, tier",
     "1 for a source of numbers that is attached, 0 for one that is missing; the status says what it needs.", 0},
    {"tidewaiter_observer_duration_seconds", MetricKind::kGauge, "netns", "Wall time of the last look at the sockets.",
     0},
    {"tidewaiter_observer_interval_seconds", MetricKind::kGauge, "netns",
     "Time between two windows now; longer than configured where a pass takes too much of it.", 0},
    {"tidewaiter_observer_windows_total", MetricKind::kCounter, "netns", "Windows since the agent's start.", 0},
    {"tidewaiter_observer_missed_windows_total", MetricKind::kCounter, "netns",
     "Windows that were due and did not come.", 0},
    {"tidewaiter_observer_last_window_age_seconds", MetricKind::kGauge, "netns",
     "Age of the last window; the state is STALE when it is more than three intervals.", 0},
    {"tidewaiter_observer_lost_events_total", MetricKind::kCounter, "source", "What was lost, by where.", 0},
    {"tidewaiter_stress_probability", MetricKind::kGauge, kTupleLabels,
     "P(port stress) of the model in use; for dst=\"other\" the highest of any tuple in it.", 0},
    {"tidewaiter_state", MetricKind::kGauge, "netns, src, dst, dport, state",
     "1 for the state that the tuple is in, 0 for the others.", 0},
    {"tidewaiter_host_state", MetricKind::kGauge, "netns, state",
     "1 for the state of the worst critical tuple, 0 for the others.", 0},
    {"tidewaiter_transitions_total", MetricKind::kCounter, "from, to, mode",
     "Changes of a tuple's state; mode is enforce where either group of parameters is acted upon.", 0},
    {"tidewaiter_parameter", MetricKind::kGauge, "name, kind",
     "Execution parameters at host level; kind detected is what the state prescribes, enforced what is to be obeyed.",
     0},
    {"tidewaiter_http_requests_total", MetricKind::kCounter, "", "Requests that the agent's HTTP server answered.", 0},
}};

}  // namespace

std::span<const MetricDeclaration> metric_declarations() { return kMetrics; }

}  // namespace tidewaiter::output
