// SPDX-License-Identifier: Apache-2.0
#include "agent/routes.h"

#include <charconv>
#include <cstdint>
#include <fmt/format.h>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "output/agent_documents.h"
#include "output/assets.h"
#include "output/census_view.h"
#include "output/documents.h"
#include "store/journal_reader.h"

namespace tidewaiter::agent {
namespace {

constexpr std::size_t kMostRows = 10'000;
constexpr std::size_t kRowsUnlessAsked = 200;

std::string line(const output::Document& document) { return document.dump() + "\n"; }

serve::Response json(std::string text) { return {200, "application/json", std::move(text), ""}; }

serve::Response not_yet() {
  return serve::error_response(503, "unavailable", "no window has been published yet", "ask again in a second");
}

serve::Response refused(const base::Error& error) {
  const bool is_callers = error.code == base::ErrorCode::kInvalidArgument;
  return serve::error_response(is_callers ? 400 : 503, std::string(base::name(error.code)), error.message(),
                               error.hint);
}

template <class Number>
std::optional<Number> number_in(const std::string& text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

base::Result<std::size_t> limit_of(const serve::Request& request) {
  const std::string text = request.parameter("limit");
  if (text.empty()) return kRowsUnlessAsked;
  const auto limit = number_in<std::size_t>(text);
  if (limit && *limit >= 1 && *limit <= kMostRows) return *limit;
  return base::fail(base::ErrorCode::kInvalidArgument, fmt::format("limit={} is not allowed", text),
                    fmt::format("a whole number from 1 to {}", kMostRows));
}

/// Unix seconds, or a duration back from now; the whole journal unless said.
base::Result<std::int64_t> since_of(const serve::Request& request, base::WallTime now) {
  const std::string text = request.parameter("since");
  if (text.empty()) return 0;
  if (const auto seconds = number_in<std::int64_t>(text); seconds && *seconds >= 0 && *seconds < 9'000'000'000) {
    return *seconds * 1'000'000'000;
  }
  if (const auto back = base::parse_duration(text)) return (now - *back).time_since_epoch().count();
  return base::fail(base::ErrorCode::kInvalidArgument, fmt::format("since={} is not allowed", text),
                    "Unix seconds (1790000000) or a duration back from now (10m)");
}

output::Document json_or_null(const std::string& text) {
  return text.empty() ? output::Document(nullptr) : output::Document::parse(text, nullptr, false);
}

output::Document subject_document(const store::Subject& subject) {
  if (subject.scope == "host") return nullptr;
  return {{"netns", subject.netns}, {"src", subject.src}, {"dst", subject.dst}, {"dport", subject.dport}};
}

std::string rfc3339(std::int64_t unix_ns) { return base::to_rfc3339(base::WallTime(base::Nanoseconds(unix_ns))); }

output::Document transition_document(const store::TransitionRow& row) {
  return {{"at", rfc3339(row.at_ns)},   {"window", row.window},
          {"scope", row.subject.scope}, {"subject", subject_document(row.subject)},
          {"from", row.from},           {"to", row.to},
          {"trigger", row.trigger},     {"mode", {{"connection", row.mode_connection}, {"order", row.mode_order}}},
          {"enforced", row.enforced},   {"reasons", json_or_null(row.reasons)}};
}

output::Document window_row_document(const store::WindowRow& row) {
  output::Document document = output::Document::object();
  store::for_each_window_field(row, [&](const char* name, const auto& field) {
    using Field = std::decay_t<decltype(field)>;
    if constexpr (std::is_same_v<Field, std::optional<double>>) {
      document[name] = field ? output::Document(*field) : output::Document(nullptr);
    } else {
      document[name] = field;
    }
  });
  document.erase("at_ns");
  document.erase("severity");
  document["at"] = rfc3339(row.at_ns);
  document["parameters"] = json_or_null(row.parameters);
  document["reasons"] = json_or_null(row.reasons);
  return document;
}

/// A text that is the same for all who ask about one window: made once, however many they are. Any thread.
class TextOfWindow {
 public:
  /// `is_old`: the window is too old to be believed, which changes what is said of it.
  template <class Make>
  [[nodiscard]] std::string get(std::uint64_t window, bool is_old, const Make& make) {
    const auto key = std::pair(window, is_old);
    std::shared_ptr<const std::string> text;
    {
      const std::lock_guard lock(mutex_);
      if (key_ != key) {
        text_ = std::make_shared<const std::string>(make());
        key_ = key;
      }
      text = text_;
    }
    return *text;
  }

 private:
  std::mutex mutex_;
  std::optional<std::pair<std::uint64_t, bool>> key_;
  std::shared_ptr<const std::string> text_;
};

class Handlers {
 public:
  explicit Handlers(RouteSources sources) : sources_(std::move(sources)) {}

  [[nodiscard]] serve::Response health(const serve::Request&) const {
    return sources_.snapshots->get() ? text(200, "ok\n") : text(503, "no window yet\n");
  }

  [[nodiscard]] serve::Response ready(const serve::Request&) const {
    const auto snapshot = sources_.snapshots->get();
    if (!snapshot) return text(503, "no window yet\n");
    const bool is_stale =
        snapshot->round.host.standing.is_stale || output::is_outdated(snapshot->view(), sources_.clocks().steady);
    return is_stale ? text(503, "stale: " + snapshot->observer.last_error + "\n") : text(200, "ready\n");
  }

  [[nodiscard]] serve::Response metrics(const serve::Request&) const {
    const auto snapshot = sources_.snapshots->get();
    if (!snapshot) return not_yet();
    output::AgentCounters counters = sources_.tally->counters();
    counters.http_requests = sources_.http_requests();
    return {200, "text/plain; version=0.0.4; charset=utf-8",
            output::agent_metrics(snapshot->view(), counters, sources_.tally->series(), sources_.clocks().steady), ""};
  }

  [[nodiscard]] serve::Response status(const serve::Request& request) {
    const auto snapshot = sources_.snapshots->get();
    if (!snapshot) return not_yet();
    const output::AgentView view = snapshot->view();
    const base::Instant now = sources_.clocks().steady;
    if (request.parameter("limit").empty()) {
      return json(status_.get(snapshot->window, output::is_outdated(view, now),
                              [&] { return line(output::status_document(view, now)); }));
    }
    const auto limit = limit_of(request);
    if (!limit) return refused(limit.error());
    return json(line(output::status_document(view, now, {*limit})));
  }

  [[nodiscard]] serve::Response census(const serve::Request& request) {
    const auto snapshot = sources_.snapshots->get();
    if (!snapshot) return not_yet();
    if (request.parameter("dst").empty()) {
      return json(
          census_.get(snapshot->window, false, [&] { return line(output::census_document(snapshot->look->census)); }));
    }
    const auto filter = output::parse_tuple_filter(request.parameter("dst"));
    if (!filter) return refused(filter.error());
    output::CensusView view = snapshot->look->census;
    std::erase_if(view.tuples, [&](const output::TupleView& tuple) { return !filter->accepts(tuple.sample->tuple); });
    return json(line(output::census_document(view)));
  }

  [[nodiscard]] serve::Response transitions(const serve::Request& request) const {
    return from_journal(request, "tidewaiter.transitions/1", "transitions",
                        [](store::JournalReader& reader, std::int64_t since, std::size_t limit, const auto&) {
                          return list_of(reader.transitions(since, limit), transition_document);
                        });
  }

  [[nodiscard]] serve::Response windows(const serve::Request& request) const {
    return from_journal(
        request, "tidewaiter.windows/1", "windows",
        [](store::JournalReader& reader, std::int64_t since, std::size_t limit, const store::SubjectFilter& filter) {
          return list_of(reader.windows(since, filter, limit), window_row_document);
        });
  }

  [[nodiscard]] serve::Response config(const serve::Request&) const {
    return {200, "application/json", sources_.config + "\n", ""};
  }

 private:
  static serve::Response text(int status, std::string body) {
    return {status, "text/plain; charset=utf-8", std::move(body), ""};
  }

  template <class Rows, class Write>
  static base::Result<output::Document> list_of(const base::Result<Rows>& rows, const Write& write) {
    if (!rows) return tl::unexpected(rows.error());
    output::Document list = output::Document::array();
    for (const auto& row : *rows) list.push_back(write(row));
    return list;
  }

  /// tuple=DST:PORT of `/api/v1/windows`; the host's rows unless given.
  static base::Result<store::SubjectFilter> subject_of(const serve::Request& request) {
    store::SubjectFilter result;
    const std::string text = request.parameter("tuple");
    if (text.empty()) {
      result.scope = "host";
      return result;
    }
    const auto filter = output::parse_tuple_filter(text);
    if (!filter) return tl::unexpected(filter.error());
    result.scope = "tuple";
    if (filter->destination) result.dst = filter->destination->to_string();
    if (filter->destination_port) result.dport = *filter->destination_port;
    return result;
  }

  template <class Read>
  [[nodiscard]] serve::Response from_journal(const serve::Request& request, const char* schema, const char* name,
                                             const Read& read) const {
    const auto limit = limit_of(request);
    if (!limit) return refused(limit.error());
    const auto since = since_of(request, sources_.clocks().wall);
    if (!since) return refused(since.error());
    const auto subject = subject_of(request);
    if (!subject) return refused(subject.error());
    auto reader = store::JournalReader::open(sources_.journal);
    if (!reader) return refused(reader.error());
    const auto list = read(*reader, *since, *limit, *subject);
    if (!list) return refused(list.error());
    return json(line({{"schema", schema}, {name, *list}}));
  }

  RouteSources sources_;
  TextOfWindow status_;
  TextOfWindow census_;
};

}  // namespace

void Tally::note(const Snapshot& snapshot) {
  const std::lock_guard lock(mutex_);
  if (!snapshot.is_missed) note_look(snapshot.look);
  for (const control::TupleDecision& tuple : snapshot.round.tuples) {
    if (const auto& transition = tuple.decision.transition) {
      ++counters_
            .transitions[{std::string(control::name(transition->from)), std::string(control::name(transition->to))}];
    }
  }
}

void Tally::note_look(const std::shared_ptr<const Look>& look) {
  if (look == last_look_) return;  // of a round between two windows
  const telemetry::Connects* const connects = look->connects ? &*look->connects : nullptr;
  series_.admit(look->census, connects);
  if (connects != nullptr) {
    const bool has_earlier = last_look_ != nullptr && last_look_->connects;
    counters_.durations.note(*connects, has_earlier ? &*last_look_->connects : nullptr, series_);
  }
  last_look_ = look;
}

output::SeriesLimit Tally::series() const {
  const std::lock_guard lock(mutex_);
  return series_;
}

output::AgentCounters Tally::counters() const {
  const std::lock_guard lock(mutex_);
  return counters_;
}

std::vector<serve::Route> routes(const RouteSources& sources) {
  const auto handlers = std::make_shared<Handlers>(sources);
  const auto route = [&](const char* path, auto handler) {
    return serve::Route{
        path, [handlers, handler](const serve::Request& request) { return (handlers.get()->*handler)(request); }};
  };
  std::vector<serve::Route> all = {route("/healthz", &Handlers::health),
                                   route("/readyz", &Handlers::ready),
                                   route("/metrics", &Handlers::metrics),
                                   route("/api/v1/status", &Handlers::status),
                                   route("/api/v1/census", &Handlers::census),
                                   route("/api/v1/windows", &Handlers::windows),
                                   route("/api/v1/transitions", &Handlers::transitions),
                                   route("/api/v1/config", &Handlers::config)};
  for (const output::Asset& asset : output::assets()) {
    all.push_back({std::string(asset.path), [&asset](const serve::Request&) {
                     return serve::Response{200, std::string(asset.content_type), std::string(asset.bytes),
                                            std::string(asset.etag)};
                   }});
  }
  return all;
}

}  // namespace tidewaiter::agent
