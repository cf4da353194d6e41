//! Runs queries: on threads of their own, in a bounded pool of memory, under a deadline. Whatever goes wrong is an
//! exception of the answer.
//!
//! A query is one task, which reads, plans and runs it on the threads of queries. Whoever asked waits for it and for a turn,
//! by the clock of a thread that never works; when the deadline comes first, the work is stopped and the answer given at
//! once. However busy the threads are, and be it only one, it is seen. A text that may say the deadline itself is read
//! before, on a thread that does nothing else.
//!
//! A small query is worked on by whoever asks, as far as that takes a moment: see [`prompt`].

use crate::{
    answer::{QueryException, QueryRequest, QueryResponse, QueryStats, ResultColumn},
    dialect::{self, Profile, Rewritten},
    error::{Code, EngineError, Stage, exception},
    explain,
    memory::{hold_text, within_pool},
    one_table::OneTable,
    options::Settings,
    planner, prompt,
    provider::pinot_type_of,
    sessions::Sessions,
    source::TableSource,
    stats,
    stop::{StopFlag, stoppable},
    tables::{Names, SYSTEM, Taken},
};
use arrow::record_batch::RecordBatch;
use datafusion::{
    common::{Result as PlanResult, utils::memory::RecordBatchMemoryCounter},
    execution::{
        TaskContext,
        memory_pool::{MemoryConsumer, MemoryReservation},
    },
    logical_expr::LogicalPlan,
    physical_plan::{ExecutionPlan, execute_stream},
};
use futures::{FutureExt, StreamExt};
use std::{any::Any, collections::HashMap, panic::AssertUnwindSafe, sync::Arc, time::Duration};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
};
use weir_base::{
    SharedClock, SystemClock,
    tasks::{said, yield_to_others},
};

/// Queries per thread that run at once; more wait for their turn. A query waits for memory and for others' threads only,
/// so a few per thread keep the threads busy, and each holds a snapshot and some memory.
const QUERIES_PER_THREAD: usize = 16;

/// Which part of its time a query waits at most for segments that have to be opened or fetched first: it answers with the
/// others then, and says what it lacks.
const PATIENCE: f64 = 0.8;

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
    /// Rows that are worth a thread of their own: of fewer, one thread answers a query, where it reads one table.
    pub thread_rows: u64,
}

impl QueryOptions {
    /// With fewer rows, handing them over costs more than reading them.
    pub const THREAD_ROWS: u64 = 1 << 14;
}

/// Rows in front of a plan's scans from which on it is a long one: a few milliseconds of work for a core.
const LONG_ROWS: u64 = 1 << 19;
/// Long plans yield the processor to short ones and to consumption: a third of the share, where there is too
/// little for all. Much less would be slower for all: what such a thread holds when it is put aside, others wait for.
const LONG_NICENESS: i32 = 5;

/// Stack of each thread. The tree of an expression is as deep as its chain of operators is long, and planning descends
/// into it; `dialect::bounds` says how long chains may be, and this holds the longest with room to spare. It is address
/// space only: memory is taken where a query really goes deep.
const STACK_BYTES: usize = 256 << 20;

/// Values in memory that whoever asks reads itself where they are only filtered and given: the newest blocks of two partitions.
const PLAIN_VALUES: u64 = 1 << 17;

/// The same where they are sorted or grouped too, which costs many times more.
const PROMPT_VALUES: u64 = 1 << 13;

/// Where a query is worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// On the thread of whoever asks.
    Asker,
    /// On the threads of queries.
    Workers,
}

struct Engine {
    options: QueryOptions,
    tables: Arc<dyn TableSource>,
    sessions: Sessions,
    turns: Arc<Semaphore>,
    clock: SharedClock,
    /// Whose timers say when a deadline comes; nothing else is done there.
    watch: Handle,
    /// Where texts are read that may say how long the query may take: apart from all else.
    reader: Handle,
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
    read: Runtime,
    work: Runtime,
    long: Runtime,
}

impl Runtimes {
    fn new(count: usize) -> Result<Self, EngineError> {
        // Waits for queries: one thread is enough for any number of them. Reading takes a millisecond for ten kilobytes.
        let kinds =
            [("query-watch", 1, 0), ("query-read", 1, 0), ("query", count, 0), ("query-long", count, LONG_NICENESS)];
        let mut started = vec![];
        for (name, count, niceness) in kinds {
            match threads(name, count, niceness) {
                Ok(runtime) => started.push(runtime),
                Err(error) => {
                    // Dropping them would block, perhaps inside another runtime.
                    started.into_iter().for_each(Runtime::shutdown_background);
                    return Err(error);
                }
            }
        }
        let [watch, read, work, long] = <[Runtime; 4]>::try_from(started).expect("each kind of threads was started");
        Ok(Self { watch, read, work, long })
    }

    fn end(self) {
        self.watch.shutdown_background();
        self.read.shutdown_background();
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
        let sessions = Sessions::new(&options, count).map_err(|error| EngineError::SetUp(error.to_string()))?;
        let runtimes = Runtimes::new(count)?;
        let turns = Arc::new(Semaphore::new(count * QUERIES_PER_THREAD));
        let reader = runtimes.read.handle().clone();
        let (workers, long) = (runtimes.work.handle().clone(), runtimes.long.handle().clone());
        let watch = runtimes.watch.handle().clone();
        let engine = Engine { options, tables, sessions, turns, clock, watch, reader, workers, long };
        Ok(Self { engine: Arc::new(engine), runtimes: Some(runtimes) })
    }

    /// Memory that queries hold now, in bytes; at most what the options allow.
    #[must_use]
    pub fn memory_held(&self) -> u64 {
        self.engine.sessions.whole().runtime_env().memory_pool.reserved() as u64
    }

    /// Answers a query. Never fails: errors are exceptions of the answer.
    pub async fn execute(&self, request: QueryRequest) -> QueryResponse {
        let started = self.engine.clock.monotonic();
        let mut response = self.engine.clone().answer(request).await;
        let took = self.engine.clock.monotonic().saturating_sub(started);
        response.stats.time_used_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        response
    }
}

/// What a task that did not end said.
fn crash(error: tokio::task::JoinError) -> QueryException {
    match error.try_into_panic() {
        Ok(panic) => fault(&*panic),
        Err(_) => QueryException::new(Code::Internal, "the query was ended because the engine stops"),
    }
}

/// What work that panicked said.
fn fault(panic: &(dyn Any + Send)) -> QueryException {
    let text = said(panic);
    tracing::error!(panic = text, "a query panicked");
    QueryException::new(Code::Internal, format!("the query met a fault of ours: {text}"))
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
    /// Whether it reads one table, by its name.
    reads_one: bool,
    columns: Vec<ResultColumn>,
    explain: bool,
    sql: String,
    settings: Settings,
}

type Outcome<T> = Result<T, QueryException>;

/// A query's text and the options that came beside it.
enum Text {
    /// It says no option, so the work may begin with reading it.
    Unread {
        sql: String,
        options: Vec<(String, String)>,
    },
    Read(dialect::Parsed, Settings),
}

impl Text {
    fn read(self) -> Outcome<(dialect::Parsed, Settings)> {
        match self {
            Self::Unread { sql, options } => read(&sql, &options),
            Self::Read(parsed, settings) => Ok((parsed, settings)),
        }
    }
}

/// Reads a text and all options of its query.
fn read(sql: &str, options: &[(String, String)]) -> Outcome<(dialect::Parsed, Settings)> {
    let parsed = dialect::parse(sql)?;
    let settings = Settings::read(parsed.options.iter().chain(options))
        .map_err(|what| QueryException::new(Code::QueryValidation, what))?;
    Ok((parsed, settings))
}

impl Engine {
    /// What comes of `future`, if it comes by then. It is waited for where the caller is, whatever that runtime's time is.
    async fn by<T>(&self, deadline: tokio::time::Instant, future: impl Future<Output = T>) -> Option<T> {
        let late = {
            let _watch = self.watch.enter();
            tokio::time::sleep_until(deadline)
        };
        tokio::select! {
            biased;
            done = future => Some(done),
            () = late => None,
        }
    }

    /// Lets a query work, until it ends or its deadline comes.
    async fn answer(self: Arc<Self>, request: QueryRequest) -> QueryResponse {
        let began = {
            let _watch = self.watch.enter();
            tokio::time::Instant::now()
        };
        let late = |code, timeout: Duration| {
            let ms = timeout.as_millis();
            let what = format!("the query did not end within {ms} ms; narrow it, or set timeoutMs higher");
            failed(QueryException::new(code, what))
        };
        // The text may say another timeout. What is wrong with an option is said by whoever reads them all.
        let beside = Settings::read(&request.options).ok().and_then(|settings| settings.timeout);
        let timeout = beside.unwrap_or(self.options.default_timeout);
        let QueryRequest { sql, options, database } = request;
        let held = match hold_text(&sql, &self.sessions.whole().runtime_env().memory_pool) {
            Ok(held) => held,
            Err(error) => return failed(exception(&error, Stage::Planning)),
        };
        let is_plain = prompt::is_plain(&sql);
        let text = if is_plain {
            match std::panic::catch_unwind(|| read(&sql, &options)) {
                Ok(Ok((parsed, settings))) => Text::Read(parsed, settings),
                Ok(Err(exception)) => return failed(exception),
                Err(panic) => return failed(fault(&*panic)),
            }
        } else if dialect::may_hold_options(&sql) {
            let task = self.reader.spawn(async move { read(&sql, &options) });
            let mut reading = Awaited { task, stop: StopFlag::default() };
            match self.by(began + timeout, &mut reading.task).await {
                Some(Ok(Ok((parsed, settings)))) => Text::Read(parsed, settings),
                Some(Ok(Err(exception))) => return failed(exception),
                Some(Err(error)) => return failed(crash(error)),
                None => return late(Code::SchedulingTimeout, timeout),
            }
        } else {
            Text::Unread { sql, options }
        };
        let timeout = match &text {
            Text::Read(_, settings) => settings.timeout.unwrap_or(self.options.default_timeout),
            Text::Unread { .. } => timeout,
        };
        let Some(Ok(turn)) = self.by(began + timeout, self.turns.clone().acquire_owned()).await else {
            return late(Code::SchedulingTimeout, timeout);
        };
        let little = |parsed: &dialect::Parsed| prompt::asks_little(&parsed.query, database.as_deref(), SYSTEM);
        let place = match &text {
            Text::Read(parsed, _) if is_plain && little(parsed) => Place::Asker,
            _ => Place::Workers,
        };
        let (names, stop) = (Names::default(), StopFlag::with_patience(began + timeout.mul_f64(PATIENCE)));
        let work = self.clone().work(text, database, names.clone(), (stop.clone(), place), (turn, held));
        let ended = match place {
            Place::Asker => {
                let working = AssertUnwindSafe(work).catch_unwind();
                self.by(began + timeout, working).await.map(|ended| ended.map_err(|panic| fault(&*panic)))
            }
            Place::Workers => {
                let mut working = Awaited { task: self.workers.spawn(work), stop };
                self.by(began + timeout, &mut working.task).await.map(|ended| ended.map_err(crash))
            }
        };
        let mut response = match ended {
            Some(ended) => ended.unwrap_or_else(failed),
            None => late(Code::ExecutionTimeout, timeout),
        };
        response.tables.clone_from(&names.lock());
        response
    }

    /// The work of a query. It holds its turn, and the memory of its text, until it has really ended: what was stopped and still
    /// runs counts.
    async fn work(
        self: Arc<Self>,
        text: Text,
        database: Option<String>,
        names: Names,
        (stop, place): (StopFlag, Place),
        turn: (OwnedSemaphorePermit, MemoryReservation),
    ) -> QueryResponse {
        let (parsed, settings) = match text.read() {
            Ok(read) => read,
            Err(exception) => return failed(exception),
        };
        let host = self.options.host_name.clone();
        let mut taken = Taken::new(&*self.tables, database, settings.nulls, host, names);
        let mut response = match stop.around(self.run(parsed, settings, &mut taken, (&stop, place))).await {
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
        (stop, place): (&StopFlag, Place),
    ) -> Outcome<QueryResponse> {
        let planning = |error| exception(&error, Stage::Planning);
        // Between its stages planning sees that nobody waits for it any more.
        stop.look().map_err(planning)?;
        let ready = self.ready(parsed, settings, taken)?;
        let mut stats = stats::of_snapshots(taken.snapshots());
        stop.look().map_err(planning)?;
        let (optimized, session) = self.sessions.optimize(&ready.plan, ready.reads_one).map_err(planning)?;
        stop.look().map_err(planning)?;
        let physical = session.query_planner().create_physical_plan(&optimized, session).await.map_err(planning)?;
        if ready.explain {
            let (columns, batch) = if ready.settings.multistage {
                explain::text(&ready.sql, &ready.plan)
            } else {
                explain::operators(&physical)
            }
            .map_err(|error| exception(&error, Stage::Planning))?;
            return Ok(QueryResponse { columns, rows: vec![batch], stats, ..QueryResponse::default() });
        }
        let moment = if self.sessions.is_of_plain(session) { PLAIN_VALUES } else { PROMPT_VALUES };
        let here = place == Place::Workers || stats::scans(&physical).all(|scan| scan.is_prompt(moment));
        let rows = self.collect(&physical, &mut stats, (stop, here)).await?;
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
            functions: dialect::Known { state: self.sessions.whole() },
        };
        let Rewritten { mut statement, names } = dialect::rewrite(parsed.query, &profile, taken)?;
        tracing::debug!(sql = %statement, "rewritten");
        let one = OneTable::of(&mut statement);
        let plan = planner::plan(self.sessions.whole(), &taken.providers(one.as_ref()), statement)
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
        Ok(Ready { plan, reads_one: one.is_some(), columns, explain: parsed.explain, sql: parsed.sql, settings })
    }

    /// What the operators of a running plan are told. Plans hold their functions; a context that knows all of them by name
    /// would be a copy of three hundred entries for each query.
    fn context(&self, stop: &StopFlag) -> TaskContext {
        let session = self.sessions.whole();
        let config = session.config().clone().with_extension(Arc::new(stop.clone()));
        let runtime = session.runtime_env().clone();
        let none = (HashMap::new(), HashMap::new(), HashMap::new(), HashMap::new());
        TaskContext::new(None, session.session_id().to_owned(), config, none.0, none.1, none.2, none.3, runtime)
    }

    /// Runs a plan to its end: `here`, or on the threads of queries, a long one on threads that yield to others.
    async fn collect(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        stats: &mut QueryStats,
        (stop, here): (&StopFlag, bool),
    ) -> Outcome<Vec<RecordBatch>> {
        let running = |error| exception(&error, Stage::Running);
        let context = Arc::new(self.context(stop));
        let running_plan = within_pool(plan).and_then(|plan| stoppable(&plan, stop)).map_err(running)?;
        let elsewhere = if weight(plan) >= LONG_ROWS { Some(&self.long) } else { (!here).then_some(&self.workers) };
        let rows = match elsewhere {
            None => run_to_end(running_plan, context).await.map_err(running)?,
            Some(threads) => {
                let task = threads.spawn(run_to_end(running_plan, context));
                let mut working = Awaited { task, stop: stop.clone() };
                (&mut working.task).await.map_err(crash)?.map_err(running)?
            }
        };
        stats::add_plan(stats, plan);
        Ok(rows)
    }
}

/// How much work lies in front of a plan's scans, in rows.
fn weight(plan: &Arc<dyn ExecutionPlan>) -> u64 {
    stats::scans(plan).map(|scan| scan.work().weight).sum()
}

/// All rows of a plan, held in the pool of queries until the plan has ended.
async fn run_to_end(plan: Arc<dyn ExecutionPlan>, context: Arc<TaskContext>) -> PlanResult<Vec<RecordBatch>> {
    let held = MemoryConsumer::new("result").register(context.memory_pool());
    let mut stream = execute_stream(plan, context)?;
    let (mut rows, mut buffers) = (vec![], RecordBatchMemoryCounter::new());
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        // Batches may be parts of one another's memory.
        if batch.num_rows() > 0 {
            held.try_grow(buffers.count_batch(&batch))?;
            rows.push(batch);
        }
    }
    Ok(rows)
}
