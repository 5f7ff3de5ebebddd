#!/usr/bin/env ruby
# frozen_string_literal: true

# A worker in a language that has no client here, written from docs/protocol.md alone: it polls with the unary calls,
# runs one command at a time, and keeps every rule that such a worker has to keep. README.md says how to start it.

require "grpc"
require "json"
require "optparse"
require "securerandom"
require "socket"
require "tempfile"

$LOAD_PATH.unshift(ENV.fetch("BR_RUBY_STUBS", File.join(__dir__, "stubs")))
begin
  require "buildrunner_parallel/v1/worker_service_services_pb"
  require "buildrunner_parallel/v1/log_service_services_pb"
rescue LoadError
  abort "worker.rb: there are no stubs in #{$LOAD_PATH.first}; README.md says how they are made"
end

V1 = BuildrunnerParallel::V1

# Where the coordinator is and which token it wants: the environment's word, else the state directory's files.
module Coordinator
  module_function

  def address
    ENV["BR_COORDINATOR"] || JSON.parse(File.read(File.join(state, "coordinator.json"))).fetch("address")
  end

  def token
    ENV["BR_TOKEN"] || File.read(ENV["BR_TOKEN_FILE"] || File.join(state, "token")).strip
  end

  def state
    ENV["BR_STATE_DIR"] || ".buildrunner"
  end
end

# The calls that a polling worker makes; each with a deadline and the token, repeated while nobody answers.
class Calls
  CHANNEL = { "grpc.enable_http_proxy" => 0, "grpc.keepalive_permit_without_calls" => 1,
              "grpc.keepalive_time_ms" => 20_000, "grpc.keepalive_timeout_ms" => 10_000,
              "grpc.min_reconnect_backoff_ms" => 50,
              "grpc.initial_reconnect_backoff_ms" => 50, "grpc.max_reconnect_backoff_ms" => 2000 }.freeze

  def initialize
    address = Coordinator.address
    @metadata = { "authorization" => "Bearer #{Coordinator.token}", "br-client-id" => SecureRandom.hex(8) }
    @workers = V1::WorkerService::Stub.new(address, :this_channel_is_insecure, channel_args: CHANNEL)
    @logs = V1::LogService::Stub.new(address, :this_channel_is_insecure, channel_args: CHANNEL)
    @address = address
  end

  attr_reader :address

  def once(call, request, seconds = 10)
    @workers.public_send(call, request, deadline: Time.now + seconds, metadata: @metadata)
  end

  def until_answered(call, request, seconds = 10)
    pause = 0.05
    begin
      once(call, request, seconds)
    rescue GRPC::Unavailable, GRPC::DeadlineExceeded => e
      warn "worker.rb: #{call}: #{e.details}; trying again" if pause >= 2
      sleep(pause * (0.5 + rand))
      pause = [pause * 2, 2].min
      retry
    end
  end

  # Sends output of an attempt from `from` on; returns the offset up to which it is durable, nil when it is stale.
  def write_output(worker_id, assignment, chunks, from)
    left = chunks.select { |chunk| chunk.offset >= from }
    requests = left.map do |chunk|
      output = V1::AttemptOutput.new(attempt_id: assignment.attempt_id, fence: assignment.fence, chunks: [chunk])
      V1::WriteOutputRequest.new(worker_id: worker_id, outputs: [output])
    end
    durable = from
    @logs.write_output(requests.each, deadline: Time.now + 60, metadata: @metadata) do |answer|
      answer.acknowledgements.each { |ack| ack.stale ? (return nil) : durable = [durable, ack.offset].max }
    end
    durable
  rescue GRPC::Unavailable, GRPC::DeadlineExceeded
    sleep 0.5
    retry
  end
end

# One attempt: a process group, its output in a file, and the report of its end.
class Attempt
  KEEP = /\A(PATH|HOME|USER|SHELL|LANG|TZ|TMPDIR|VIRTUAL_ENV|CI|LC_.*|XDG_.*|.*_PROXY|.*_proxy)\z/
  PIECE = 128 * 1024

  attr_reader :assignment, :pid, :began_us

  def initialize(assignment)
    @assignment = assignment
    @spec = assignment.spec
    @channels = { OUTPUT_CHANNEL_STDOUT: Tempfile.new("out"), OUTPUT_CHANNEL_STDERR: Tempfile.new("err") }
    @result, @error = Array.new(2) { Tempfile.new("br") }
  end

  def start(worker_id, address)
    return refuse("this worker runs commands, and nothing else") unless @spec.command

    @began_us = Attempt.now_us
    directory = @spec.directory&.path.to_s
    directory = File.join(@spec.directory.worktree, directory) if @spec.directory && !directory.start_with?("/")
    @pid = Process.spawn(environment(worker_id, address), *command, chdir: directory.empty? ? "." : directory,
                         unsetenv_others: true, pgroup: true, in: File::NULL,
                         out: @channels[:OUTPUT_CHANNEL_STDOUT].path, err: @channels[:OUTPUT_CHANNEL_STDERR].path)
    @ends_at = @spec.timeout_ms.zero? ? nil : Attempt.clock + @spec.timeout_ms / 1000.0
    true
  rescue SystemCallError => e
    refuse(e.message)
  end

  # Asks all its processes to end, and kills them after the grace. The first reason given is the one reported.
  def stop(outcome, grace_ms: nil)
    return if @outcome

    @outcome = outcome
    grace_ms ||= @spec.has_grace_ms? ? @spec.grace_ms : 10_000
    @killed_at = Attempt.clock + grace_ms / 1000.0
    signal("TERM")
  end

  def kill
    signal("KILL")
  end

  # Waits for the end; looks at timeout and grace meanwhile. Yields often, for the lease to be looked at.
  def wait
    until @status
      yield
      stop(:OUTCOME_TIMED_OUT) if @ends_at && Attempt.clock >= @ends_at
      kill if @killed_at && Attempt.clock >= @killed_at
      _, @status = Process.waitpid2(@pid, Process::WNOHANG)
      sleep 0.02 unless @status
    end
    kill # whatever it left behind
  end

  def report
    outcome = @outcome && !@status&.success? ? @outcome : outcome_of_status
    V1::TaskReport.new(
      attempt_id: @assignment.attempt_id, fence: @assignment.fence, outcome: outcome, exit_code: @status&.exitstatus,
      signal: @status&.termsig || 0, error: @not_started || last_line(@error), result: result, pid: @pid || 0,
      started_at_us: @pid ? @began_us : 0, ended_at_us: Attempt.now_us, output_bytes: chunks.sum { |c| c.data.bytesize }
    )
  end

  # All output, cut into pieces: first what went to standard output, then standard error.
  def chunks
    offset = 0
    @chunks ||= @channels.flat_map do |channel, file|
      pieces = []
      File.open(file.path, "rb") do |reader|
        while (data = reader.read(PIECE))
          pieces << V1::OutputChunk.new(offset: offset, channel: channel, data: data)
          offset += data.bytesize
        end
      end
      pieces
    end
  end

  def held(ended: false)
    V1::HeldAttempt.new(attempt_id: @assignment.attempt_id, fence: @assignment.fence, started: !@pid.nil?,
                        ended: ended, pid: @pid || 0, started_at_us: @began_us || 0)
  end

  def self.now_us
    Process.clock_gettime(Process::CLOCK_REALTIME, :microsecond)
  end

  # Runs while the machine sleeps, as the lease does.
  def self.clock
    Process.clock_gettime(Process::CLOCK_BOOTTIME)
  end

  private

  def refuse(why)
    @not_started = why
    false
  end

  def command
    line = @spec.command.shell_line
    return ["/bin/sh", "-c", line] unless line.empty?

    program, *arguments = @spec.command.argv
    [[program, program], *arguments] # never through a shell
  end

  def environment(worker_id, address)
    ENV.to_h.select { |name, _| name.match?(KEEP) }
       .merge(@spec.passed_environment.to_h, @spec.environment.to_h)
       .except("BR_TOKEN", "BR_TOKEN_FILE")
       .merge("BR_SESSION_ID" => @assignment.session_id, "BR_SESSION_NAME" => @assignment.session_name,
              "BR_TASK_ID" => @spec.task_id, "BR_ATTEMPT" => @assignment.number.to_s,
              "BR_ATTEMPT_ID" => @assignment.attempt_id, "BR_FENCE" => @assignment.fence.to_s,
              "BR_WORKER_ID" => worker_id, "BR_SLOT" => "0", "BR_COORDINATOR" => address,
              "BR_RESULT_FILE" => @result.path, "BR_ERROR_FILE" => @error.path)
  end

  def signal(name)
    Process.kill(name, -@pid) if @pid
  rescue Errno::ESRCH
    nil
  end

  def outcome_of_status
    return :OUTCOME_NOT_STARTED if @not_started

    @status.success? ? :OUTCOME_SUCCEEDED : :OUTCOME_FAILED
  end

  def last_line(file)
    File.read(file.path).scrub.lines.map(&:strip).reject(&:empty?).last.to_s.byteslice(0, 4096).scrub("")
  end

  def result
    data = File.binread(@result.path)
    V1::Payload.new(data: data) unless data.empty? || data.bytesize > 1024 * 1024
  end
end

# The worker: says hello, keeps its lease, takes one task after another.
class Worker
  def initialize(labels:, session:)
    @labels = labels
    @session = session
    @calls = Calls.new
    @lock = Mutex.new
    @returning = Mutex.new
    @draining = false
    @seen = {}
  end

  def run
    trap("TERM") { @draining = true }
    trap("INT") { @draining = true }
    register
    Thread.new { keep_lease }.abort_on_exception = true
    work until @draining
    @calls.until_answered(:unregister, V1::UnregisterRequest.new(worker_id: @id, reason: "drained"))
  end

  private

  # The first time, and again when the coordinator was started anew: then with the id, the store and what is held, to
  # keep it. Returns the ids of the attempts that stay this worker's.
  def register
    hello = V1::Hello.new(host: Socket.gethostname, pid: Process.pid, version: "ruby-example", slots: 1,
                          labels: @labels, session_id: @session, kinds: V1::WorkerKinds.new(commands: true))
    if @welcome
      hello.worker_id, hello.store_id, hello.epoch = @welcome.worker_id, @welcome.store_id, @welcome.epoch
      hello.held << @lock.synchronize { @held } if @held
    end
    sent = Attempt.clock
    answer = @calls.until_answered(:register, V1::RegisterRequest.new(hello: hello))
    same_store = @welcome.nil? || answer.welcome.store_id == @welcome.store_id
    @welcome = answer.welcome
    @id = @welcome.worker_id
    @leased_at = sent
    @sequence = 0
    same_store ? answer.adopted_attempt_ids.to_a : []
  end

  # Heartbeats, on time whatever the task does; the lease counts from the sending of the last one that was answered.
  def keep_lease
    loop do
      sleep @welcome.heartbeat_interval_ms / 1000.0
      sent = Attempt.clock
      beat = V1::Heartbeat.new(sequence: @sequence += 1, held: [@lock.synchronize { @held }].compact)
      answer = @calls.once(:heartbeat, V1::HeartbeatRequest.new(worker_id: @id, heartbeat: beat), 5)
      @leased_at = sent
      @draining ||= answer.draining
      obey(answer)
    rescue GRPC::NotFound
      come_back
    rescue GRPC::BadStatus => e
      warn "worker.rb: heartbeat: #{e.details}"
    end
  end

  def obey(answer)
    attempt = @lock.synchronize { @attempt } or return
    mine = attempt.assignment.attempt_id
    answer.cancellations.select { |order| order.attempt_id == mine }.each do |order|
      attempt.stop(order.outcome, grace_ms: order.has_grace_ms? ? order.grace_ms : nil)
    end
    attempt.stop(:OUTCOME_REVOKED) if answer.reply.unknown_attempt_ids.include?(mine)
  end

  # No coordinator knows this worker's connection: it was started anew. What it does not adopt must end.
  def come_back
    @returning.synchronize do
      adopted = register
      attempt = @lock.synchronize { @attempt }
      attempt.stop(:OUTCOME_REVOKED) if attempt && !adopted.include?(attempt.assignment.attempt_id)
    end
  end

  def work
    answer = @calls.until_answered(:claim_tasks, V1::ClaimTasksRequest.new(worker_id: @id, wait_ms: 1000))
    @draining ||= answer.draining
    # What comes twice is void the second time.
    fresh = answer.assignments.reject { |assignment| @seen[assignment.attempt_id] }
    fresh.each { |assignment| @seen[assignment.attempt_id] = true }
    fresh.each { |assignment| perform(Attempt.new(assignment)) }
  rescue GRPC::NotFound
    come_back
  end

  def perform(attempt)
    hold(attempt, attempt.held)
    if attempt.start(@id, @calls.address)
      hold(attempt, attempt.held)
      started = V1::TaskStarted.new(attempt_id: attempt.assignment.attempt_id, fence: attempt.assignment.fence,
                                    pid: attempt.pid, started_at_us: attempt.began_us)
      Thread.new { @calls.once(:report_tasks, V1::ReportTasksRequest.new(worker_id: @id, started: [started])) }
            .report_on_exception = false
      attempt.wait { mind_lease(attempt) }
    end
    hold(attempt, attempt.held(ended: true))
    deliver(attempt)
  ensure
    hold(nil, nil)
  end

  def send_report(report)
    request = V1::ReportTasksRequest.new(worker_id: @id, reports: [report])
    @calls.until_answered(:report_tasks, request).acknowledgements.first
  rescue GRPC::NotFound
    come_back
    retry
  end

  def hold(attempt, held)
    @lock.synchronize { @attempt, @held = attempt, held }
  end

  # A task must not outlive the lease: another worker may be given it then.
  def mind_lease(attempt)
    age_ms = (Attempt.clock - @leased_at) * 1000
    attempt.stop(:OUTCOME_LOST) if age_ms >= @welcome.stop_after_ms
    attempt.kill if age_ms >= @welcome.kill_after_ms
  end

  # The same report again until somebody has taken it, or will never take it.
  def deliver(attempt)
    report = attempt.report
    durable = 0
    small = report.output_bytes <= 32 * 1024
    attempt.chunks.each { |chunk| report.output << chunk } if small
    loop do
      durable = @calls.write_output(@id, attempt.assignment, attempt.chunks, durable) unless small
      return if durable.nil?

      ack = send_report(report)
      return unless ack.disposition == :DISPOSITION_OUTPUT_MISSING

      durable = ack.output_offset
    end
  end
end

given = { labels: [], session: "" }
OptionParser.new do |options|
  options.on("--slots N", Integer, "it has one") { |slots| abort "worker.rb: it has one slot" unless slots == 1 }
  options.on("--label LABEL", "what tasks can ask for; repeatable") { |label| given[:labels] << label }
  options.on("--session ID", "serve this session only") { |id| given[:session] = id }
end.parse!
given[:labels] << "ruby" if given[:labels].empty?

begin
  Worker.new(**given).run
rescue GRPC::BadStatus => e
  abort "worker.rb: #{e.details}"
rescue SystemCallError, KeyError => e
  abort "worker.rb: no coordinator found (#{e.message}); start one with br parallel serve, or set BR_COORDINATOR"
end
