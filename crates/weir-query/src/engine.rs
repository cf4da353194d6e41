//! Runs queries: on threads of their own, in a bounded pool of memory, under a deadline. Whatever goes wrong is an
//! exception of the answer.
//!
//! A query is two tasks. One works, on the threads of queries. The other watches, on a thread that does nothing else: it
//! waits for a turn and for the work, and when the deadline comes first it stops the work and answers at once. However
//! busy the threads are, and be it only one, the deadline is seen.

use crate::{
    answer::{QueryException, QueryRequest, QueryResponse, QueryStats, ResultColumn},
    dialect::{self, Profile, Rewritten},
    error::{Code, EngineError, Stage, exception},
    explain, functions,
    options::Settings,
    planner,
    provider::pinot_type_of,
    source::TableSource,
    stats,
    stop::{StopFlag, stoppable},
    tables::{Names, Taken},
};
use arrow::record_batch::RecordBatch;
use datafusion::{
    common::Result as PlanResult,
    execution::{
        SessionState, SessionStateBuilder, TaskContext,
        disk_manager::{DiskManagerBuilder, DiskManagerMode},
        memory_pool::{GreedyMemoryPool, MemoryConsumer},
        runtime_env::RuntimeEnvBuilder,
    },
    logical_expr::LogicalPlan,
    physical_plan::{ExecutionPlan, execute_stream},
    prelude::SessionConfig,
};
use futures::StreamExt;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::{Semaphore, oneshot},
    task::JoinHandle,
};
use weir_base::{SharedClock, SystemClock, tasks::yield_to_others};

/// Queries per thread that run at once; more wait for their turn. A query waits for memory and for others' threads only,
/// so a few per thread keep the threads busy, and each holds a snapshot and some memory.
const QUERIES_PER_THREAD: usize = 16;

/// How an engine runs queries.
#[derive(Debug, Clone)]
pub struct QueryOptions {
    /// Threads that queries may use; at least one.
    pub threads: usize,
    /// Memory that all queries together may hold, in bytes.
    pub memory_bytes: u64,
    /// How long a query may take that does not say so itself.
    pub default_timeout: Duration,
    /// Rows that a query without LIMIT gets (single-stage typing).
    pub default_limit: u64,
    /// Answers `$hostName`.
    pub host_name: Arc<str>,
    /// What this node calls itself in answers.
    pub broker_id: Arc<str>,
}

/// Rows in front of a plan's scans from which on it is a long one: a few milliseconds of work for a core.
const LONG_ROWS: u64 = 1 << 19;
/// A filter mostly leaves out most segments or reads one column: such a scan weighs this much less.
const FILTERED_WEIGHS: u64 = 8;
/// Long plans yield the processor to short ones and to consumption: a third of the share, where there is too little for all.
const LONG_NICENESS: i32 = 5;

/// Stack of each thread. The tree of an expression is as deep as its chain of operators is long, and planning descends
/// into it; `dialect::bounds` says how long chains may be, and this holds the longest with room to spare. It is address
/// space only: memory is taken where a query really goes deep.
const STACK_BYTES: usize = 256 << 20;

struct Engine {
    options: QueryOptions,
    tables: Arc<dyn TableSource>,
    state: SessionState,
    turns: Arc<Semaphore>,
    clock: SharedClock,
    /// Where queries are planned, and short ones run.
    workers: Handle,
    /// Where long ones run.
    long: Handle,
}

/// Answers queries over the snapshots of a node. Dropping it ends what is running.
pub struct QueryEngine {
    engine: Arc<Engine>,
    runtimes: Option<Runtimes>,
}

struct Runtimes {
    watch: Runtime,
    work: Runtime,
    long: Runtime,
}

impl Runtimes {
    fn new(count: usize) -> Result<Self, EngineError> {
        // Starts queries and waits for them: one thread is enough for any number of them.
        let watch = threads("query-watch", 1, 0)?;
        let others = || Ok((threads("query", count, 0)?, threads("query-long", count, LONG_NICENESS)?));
        match others() {
            Ok((work, long)) => Ok(Self { watch, work, long }),
            Err(error) => {
                // Dropping it would block, perhaps inside another runtime.
                watch.shutdown_background();
                Err(error)
            }
        }
    }

    fn end(self) {
        self.watch.shutdown_background();
        self.work.shutdown_background();
        self.long.shutdown_background();
    }
}

/// Threads of a name, as a runtime.
fn threads(name: &str, count: usize, niceness: i32) -> Result<Runtime, EngineError> {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(count).thread_name(name).thread_stack_size(STACK_BYTES).enable_all();
    if niceness > 0 {
        builder.on_thread_start(move || yield_to_others(niceness));
    }
    builder.build().map_err(EngineError::Threads)
}

impl std::fmt::Debug for QueryEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueryEngine").field("options", &self.engine.options).finish_non_exhaustive()
    }
}

impl Drop for QueryEngine {
    fn drop(&mut self) {
        // Waiting for running queries would block whoever drops us, perhaps inside another runtime.
        if let Some(runtimes) = self.runtimes.take() {
            runtimes.end();
        }
    }
}

/// Ends a task when nobody waits for it any more.
struct Awaited<T> {
    task: JoinHandle<T>,
    stop: StopFlag,
}

impl<T> Drop for Awaited<T> {
    fn drop(&mut self) {
        // The flag reaches work that is inside of an operator; the abort, work that waits.
        self.stop.set();
        self.task.abort();
    }
}

impl QueryEngine {
    /// An engine on threads of its own.
    ///
    /// # Errors
    /// If the threads cannot be started.
    pub fn new(options: QueryOptions, tables: Arc<dyn TableSource>) -> Result<Self, EngineError> {
        Self::with_clock(options, tables, SystemClock::shared())
    }

    /// An engine that takes `now()` from a clock.
    ///
    /// # Errors
    /// If the threads cannot be started.
    pub fn with_clock(
        options: QueryOptions,
        tables: Arc<dyn TableSource>,
        clock: SharedClock,
    ) -> Result<Self, EngineError> {
        let count = options.threads.max(1);
        let state = session(&options, count).map_err(|error| EngineError::SetUp(error.to_string()))?;
        let runtimes = Runtimes::new(count)?;
        let turns = Arc::new(Semaphore::new(count * QUERIES_PER_THREAD));
        let (workers, long) = (runtimes.work.handle().clone(), runtimes.long.handle().clone());
        let engine = Engine { options, tables, state, turns, clock, workers, long };
        Ok(Self { engine: Arc::new(engine), runtimes: Some(runtimes) })
    }

    /// Memory that queries hold now, in bytes; at most what the options allow.
    #[must_use]
    pub fn memory_held(&self) -> u64 {
        self.engine.state.runtime_env().memory_pool.reserved() as u64
    }

    /// Answers a query. Never fails: errors are exceptions of the answer.
    pub async fn execute(&self, request: QueryRequest) -> QueryResponse {
        let started = self.engine.clock.monotonic();
        let engine = self.engine.clone();
        let Some(Runtimes { watch, .. }) = &self.runtimes else { return QueryResponse::default() };
        let task = watch.spawn(async move { engine.answer(request).await });
        let mut watching = Awaited { task, stop: StopFlag::default() };
        let mut response = match (&mut watching.task).await {
            Ok(response) => response,
            Err(error) => failed(QueryException::new(Code::Internal, crash(error))),
        };
        let took = self.engine.clock.monotonic().saturating_sub(started);
        response.stats.time_used_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        response
    }
}

/// What a task that did not end said.
fn crash(error: tokio::task::JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            tracing::error!(panic = %text, "a query panicked");
            format!("the query met a fault of ours: {text}")
        }
        Err(_) => "the query was ended because the engine stops".to_owned(),
    }
}

fn session(options: &QueryOptions, threads: usize) -> PlanResult<SessionState> {
    let pool = GreedyMemoryPool::new(usize::try_from(options.memory_bytes).unwrap_or(usize::MAX));
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(pool))
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled))
        .build_arc()?;
    let config = SessionConfig::new()
        .with_target_partitions(threads)
        .with_information_schema(false)
        .set_bool("datafusion.sql_parser.enable_ident_normalization", false)
        .set_bool("datafusion.execution.skip_physical_aggregate_schema_check", true);
    let mut state =
        SessionStateBuilder::new().with_default_features().with_config(config).with_runtime_env(runtime).build();
    for function in functions::scalars() {
        datafusion::execution::FunctionRegistry::register_udf(&mut state, Arc::new(function))?;
    }
    for function in functions::aggregates() {
        datafusion::execution::FunctionRegistry::register_udaf(&mut state, Arc::new(function))?;
    }
    Ok(state)
}

fn failed(exception: QueryException) -> QueryResponse {
    QueryResponse {
        exceptions: vec![exception],
        partial: true,
        stats: stats::of_snapshots(std::iter::empty()),
        ..QueryResponse::default()
    }
}

/// Everything that a query needs to run.
struct Ready {
    plan: LogicalPlan,
    columns: Vec<ResultColumn>,
    explain: bool,
    sql: String,
    settings: Settings,
}

/// What the work of a query shares with whoever watches it.
struct Run {
    names: Names,
    stop: StopFlag,
    /// Takes the timeout that the text turns out to have.
    tell: oneshot::Sender<Duration>,
    has_turn: Arc<AtomicBool>,
}

type Outcome<T> = Result<T, QueryException>;

impl Engine {
    /// Lets a query work, until it ends or its deadline comes. All work is done elsewhere, reading the text included: its
    /// own timeout is told from there.
    async fn answer(self: Arc<Self>, request: QueryRequest) -> QueryResponse {
        let began = tokio::time::Instant::now();
        // What is wrong with an option is said by whoever reads them all.
        let beside = Settings::read(&request.options).unwrap_or_default();
        let mut timeout = beside.timeout.unwrap_or(self.options.default_timeout);
        let (names, stop, has_turn) = (Names::default(), StopFlag::default(), Arc::new(AtomicBool::new(false)));
        let (tell, told) = oneshot::channel();
        let run = Run { names: names.clone(), stop: stop.clone(), tell, has_turn: has_turn.clone() };
        let mut working = Awaited { task: self.workers.spawn(self.clone().work(request, run)), stop };
        if let Ok(Ok(own)) = tokio::time::timeout_at(began + timeout, told).await {
            timeout = own;
        }
        let mut response = match tokio::time::timeout_at(began + timeout, &mut working.task).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => failed(QueryException::new(Code::Internal, crash(error))),
            Err(_) => {
                let ran = has_turn.load(Ordering::Relaxed);
                let ms = timeout.as_millis();
                failed(QueryException::new(
                    if ran { Code::ExecutionTimeout } else { Code::SchedulingTimeout },
                    format!("the query did not end within {ms} ms; narrow it, or set timeoutMs higher"),
                ))
            }
        };
        response.tables.clone_from(&names.lock());
        response
    }

    /// The work of a query. It holds its turn until it has really ended: what was stopped and still runs counts.
    async fn work(self: Arc<Self>, request: QueryRequest, run: Run) -> QueryResponse {
        let Run { names, stop, tell, has_turn } = run;
        let read = || {
            let parsed = dialect::parse(&request.sql)?;
            let settings = Settings::read(parsed.options.iter().chain(&request.options))
                .map_err(|what| QueryException::new(Code::QueryValidation, what))?;
            Ok((parsed, settings))
        };
        let (parsed, settings) = match read() {
            Ok(read) => read,
            Err(exception) => return failed(exception),
        };
        // Whoever watches may have given up.
        tell.send(settings.timeout.unwrap_or(self.options.default_timeout)).ok();
        let turn = match self.turns.clone().acquire_owned().await {
            Ok(turn) => turn,
            Err(_) => return failed(QueryException::new(Code::Internal, "the engine stops")),
        };
        has_turn.store(true, Ordering::Relaxed);
        let host = self.options.host_name.clone();
        let mut taken = Taken::new(&*self.tables, request.database, settings.nulls, host, names);
        let mut response = match self.run(parsed, settings, &mut taken, &stop).await {
            Ok(response) => response,
            Err(exception) => failed(exception),
        };
        if response.exceptions.is_empty() {
            for lack in taken.lacks() {
                response.exceptions.push(QueryException::new(Code::SegmentUnavailable, lack));
                response.partial = true;
            }
        }
        drop(turn);
        response
    }

    async fn run(
        &self,
        parsed: dialect::Parsed,
        settings: Settings,
        taken: &mut Taken<'_>,
        stop: &StopFlag,
    ) -> Outcome<QueryResponse> {
        let ready = self.ready(parsed, settings, taken)?;
        let mut stats = stats::of_snapshots(taken.snapshots());
        let physical =
            self.state.create_physical_plan(&ready.plan).await.map_err(|error| exception(&error, Stage::Planning))?;
        if ready.explain {
            let (columns, batch) = if ready.settings.multistage {
                explain::text(&ready.sql, &ready.plan)
            } else {
                explain::operators(&physical)
            }
            .map_err(|error| exception(&error, Stage::Planning))?;
            return Ok(QueryResponse { columns, rows: vec![batch], stats, ..QueryResponse::default() });
        }
        let rows = self.collect(&physical, &mut stats, stop).await?;
        let rows = if ready.settings.drop_results { vec![] } else { rows };
        Ok(QueryResponse { columns: ready.columns, rows, stats, ..QueryResponse::default() })
    }

    /// Rewrites and plans. Snapshots are taken here, one of each table.
    fn ready(&self, parsed: dialect::Parsed, settings: Settings, taken: &mut Taken<'_>) -> Outcome<Ready> {
        let profile = Profile {
            multistage: settings.multistage,
            nulls: settings.nulls,
            default_limit: self.options.default_limit,
            now_ms: self.clock.wall_ms(),
            functions: dialect::Known { state: &self.state },
        };
        let Rewritten { statement, names } = dialect::rewrite(parsed.query, &profile, taken)?;
        tracing::debug!(sql = %statement, "rewritten");
        let plan = planner::plan(&self.state, taken.providers(), statement)
            .map_err(|error| exception(&error, Stage::Planning))?;
        let fields = plan.schema().fields();
        let columns = fields
            .iter()
            .enumerate()
            .map(|(at, field)| ResultColumn {
                name: names.get(at).cloned().flatten().unwrap_or_else(|| field.name().clone()),
                pinot_type: pinot_type_of(field),
            })
            .collect();
        Ok(Ready { plan, columns, explain: parsed.explain, sql: parsed.sql, settings })
    }

    /// Runs a plan to its end, a long one on threads that yield to others.
    async fn collect(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        stats: &mut QueryStats,
        stop: &StopFlag,
    ) -> Outcome<Vec<RecordBatch>> {
        let running = |error| exception(&error, Stage::Running);
        let config = self.state.config().clone().with_extension(Arc::new(stop.clone()));
        let context = Arc::new(TaskContext::from(&self.state).with_session_config(config));
        let running_plan = stoppable(plan, stop).map_err(running)?;
        let rows = if weight(plan) < LONG_ROWS {
            run_to_end(running_plan, context).await.map_err(running)?
        } else {
            let task = self.long.spawn(run_to_end(running_plan, context));
            let mut working = Awaited { task, stop: stop.clone() };
            match (&mut working.task).await {
                Ok(rows) => rows.map_err(running)?,
                Err(error) => return Err(QueryException::new(Code::Internal, crash(error))),
            }
        };
        stats::add_plan(stats, plan);
        Ok(rows)
    }
}

/// How many rows lie in front of a plan's scans.
fn weight(plan: &Arc<dyn ExecutionPlan>) -> u64 {
    stats::scans(plan)
        .map(|scan| if scan.filters() { scan.rows_at_most() / FILTERED_WEIGHS } else { scan.rows_at_most() })
        .sum()
}

/// All rows of a plan, held in the pool of queries until the plan has ended.
async fn run_to_end(plan: Arc<dyn ExecutionPlan>, context: Arc<TaskContext>) -> PlanResult<Vec<RecordBatch>> {
    let held = MemoryConsumer::new("result").register(context.memory_pool());
    let mut stream = execute_stream(plan, context)?;
    let mut rows = vec![];
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        held.try_grow(batch.get_array_memory_size())?;
        if batch.num_rows() > 0 {
            rows.push(batch);
        }
    }
    Ok(rows)
}
