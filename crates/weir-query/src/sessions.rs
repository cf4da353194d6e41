//! What plans queries: the functions, the rules and the settings of DataFusion, for all queries and for simple ones. A small
//! query costs mostly its planning and the change of threads, so it is planned without what it cannot need.

use crate::{
    engine::QueryOptions,
    functions,
    provider::{SnapshotTable, Work},
};
use datafusion::{
    common::{
        Result,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    datasource::source_as_provider,
    execution::{
        FunctionRegistry, SessionState, SessionStateBuilder,
        disk_manager::{DiskManagerBuilder, DiskManagerMode},
        memory_pool::GreedyMemoryPool,
        runtime_env::RuntimeEnvBuilder,
    },
    logical_expr::LogicalPlan,
    prelude::SessionConfig,
};
use std::sync::Arc;

/// Rules that change joins, unions, subqueries and fields of structures only, of which a simple plan has none: each of them
/// goes through the whole plan all the same.
const NOT_OF_SIMPLE: [&str; 13] = [
    "rewrite_set_comparison",
    "optimize_unions",
    "unions_to_filter",
    "eliminate_join",
    "decorrelate_predicate_subquery",
    "scalar_subquery_to_join",
    "decorrelate_lateral_join",
    "extract_equijoin_predicate",
    "eliminate_cross_join",
    "filter_null_join_keys",
    "eliminate_outer_join",
    "extract_leaf_expressions",
    "push_down_leaf_projections",
];

/// The rule that a filter between limit and scan is in the way of: it comes once more behind the others, which a simple plan
/// goes through once.
const AGAIN: &str = "push_down_limit";

/// Rules that change distinct values, groups and orders only, of which a plain plan has none either.
const NOT_OF_PLAIN: [&str; 4] = [
    "replace_distinct_aggregate",
    "eliminate_duplicated_expr",
    "single_distinct_aggregation_to_group_by",
    "eliminate_group_by_constant",
];

/// Rules for the operators of a plan that one thread runs over few rows: of the others some change what is shared between
/// threads or is joined, and some save time only where there are many rows.
const OF_SMALL: [&str; 8] = [
    "OutputRequirements",
    "aggregate_statistics",
    "LimitedDistinctAggregation",
    "EnsureRequirements",
    "CombinePartialFinalAggregate",
    "OptimizeAggregateOrder",
    "OutputRequirements",
    LIMIT,
];

/// The rule by which operators end where enough rows came out.
const LIMIT: &str = "LimitPushdown";

/// The sessions of an engine.
pub(crate) struct Sessions {
    whole: SessionState,
    /// For simple plans.
    simple: SessionState,
    /// For simple plans that one thread runs.
    small: SessionState,
    /// For plain plans.
    plain: SessionState,
    /// For plain plans that one thread runs: their operators are as good as can be, but for the limit.
    plain_small: SessionState,
    thread_rows: u64,
}

impl Sessions {
    /// For plans on so many threads.
    pub(crate) fn new(options: &QueryOptions, threads: usize) -> Result<Self> {
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
        let mut whole =
            SessionStateBuilder::new().with_default_features().with_config(config).with_runtime_env(runtime).build();
        for name in functions::REMOVED {
            whole.deregister_udf(name)?;
        }
        let bounded = functions::in_place_of(|name| whole.scalar_functions().get(name).cloned());
        for function in bounded.into_iter().chain(functions::scalars()) {
            whole.register_udf(Arc::new(function))?;
        }
        for function in functions::aggregates() {
            whole.register_udaf(Arc::new(function))?;
        }
        let rules = whole.optimizers().iter();
        let again = rules.clone().filter(|rule| rule.name() == AGAIN);
        let rules: Vec<_> = rules.filter(|rule| !NOT_OF_SIMPLE.contains(&rule.name())).chain(again).cloned().collect();
        let of_plain = rules.iter().filter(|rule| !NOT_OF_PLAIN.contains(&rule.name())).cloned().collect();
        let of_small = whole.physical_optimizers().iter().filter(|rule| OF_SMALL.contains(&rule.name()));
        let of_small: Vec<_> = of_small.cloned().collect();
        let of_plain_small = of_small.iter().filter(|rule| rule.name() == LIMIT).cloned().collect();
        let config = whole.config().clone().set_usize("datafusion.optimizer.max_passes", 1);
        let like = |state: &SessionState| SessionStateBuilder::new_from_existing(state.clone());
        let simple = like(&whole).with_config(config).with_optimizer_rules(rules).build();
        let plain = like(&simple).with_optimizer_rules(of_plain).build();
        let config = simple.config().clone().with_target_partitions(1);
        let small = like(&simple).with_config(config.clone()).with_physical_optimizer_rules(of_small).build();
        let plain_small = like(&plain).with_config(config).with_physical_optimizer_rules(of_plain_small).build();
        Ok(Self { whole, simple, small, plain, plain_small, thread_rows: options.thread_rows })
    }

    /// What every query can be planned with.
    pub(crate) fn whole(&self) -> &SessionState {
        &self.whole
    }

    /// Whether this is the session that makes operators of plain plans for one thread.
    pub(crate) fn is_of_plain(&self, session: &SessionState) -> bool {
        std::ptr::eq(session, &raw const self.plain_small)
    }

    /// Optimizes the plan of a query, which reads one table by name or not; gives it back with the session that is to make
    /// operators of it.
    pub(crate) fn optimize(&self, plan: &LogicalPlan, reads_one: bool) -> Result<(LogicalPlan, &SessionState)> {
        let (many, one) = match shape(plan)? {
            _ if !reads_one => return Ok((self.whole.optimize(plan)?, &self.whole)),
            Shape::Any => return Ok((self.whole.optimize(plan)?, &self.whole)),
            Shape::Simple => (&self.simple, &self.small),
            Shape::Plain => (&self.plain, &self.plain_small),
        };
        let optimized = many.optimize(plan)?;
        let is_small = work(&optimized)?.is_for_one(self.thread_rows);
        Ok((optimized, if is_small { one } else { many }))
    }
}

/// What the scans of a plan have to do.
fn work(plan: &LogicalPlan) -> Result<Work> {
    let mut all = Work::default();
    plan.apply(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(table) = source_as_provider(&scan.source)?.downcast_ref::<SnapshotTable>()
        {
            all = all.and(table.work(&scan.filters, scan.fetch)?);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(all)
}

/// What a plan of one table is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Shape {
    /// Filters, projections and limits.
    Plain,
    /// No join, no union and no subquery.
    Simple,
    Any,
}

fn shape(plan: &LogicalPlan) -> Result<Shape> {
    let mut all = Shape::Plain;
    plan.apply_with_subqueries(|node| {
        all = all.max(match node {
            LogicalPlan::TableScan(_) | LogicalPlan::Filter(_) | LogicalPlan::Projection(_) | LogicalPlan::Limit(_) => {
                Shape::Plain
            }
            LogicalPlan::Join(_)
            | LogicalPlan::Union(_)
            | LogicalPlan::Subquery(_)
            | LogicalPlan::RecursiveQuery(_) => Shape::Any,
            _ => Shape::Simple,
        });
        Ok(if all == Shape::Any { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::one_table::OneTable;
    use datafusion::prelude::SessionContext;
    use std::time::Duration;

    fn sessions() -> Sessions {
        let options = QueryOptions {
            threads: 2,
            memory_bytes: 1 << 20,
            default_timeout: Duration::from_secs(1),
            default_limit: 10,
            host_name: "host".into(),
            broker_id: "broker".into(),
            thread_rows: 10,
        };
        Sessions::new(&options, 2).unwrap()
    }

    #[test]
    fn a_simple_plan_goes_through_the_rules_that_it_can_need() {
        let sessions = sessions();
        let named =
            |state: &SessionState| state.optimizers().iter().map(|rule| rule.name().to_owned()).collect::<Vec<_>>();
        let (whole, simple) = (named(&sessions.whole), named(&sessions.simple));
        let left: Vec<&str> =
            whole.iter().map(String::as_str).filter(|name| !simple.iter().any(|kept| kept == name)).collect();
        assert_eq!(left, NOT_OF_SIMPLE, "a rule has another name or place now");
        assert_eq!(simple.last().map(String::as_str), Some(AGAIN));
        assert_eq!(simple.len(), whole.len() - NOT_OF_SIMPLE.len() + 1);
        let plain = named(&sessions.plain);
        let left: Vec<&str> =
            simple.iter().map(String::as_str).filter(|name| !plain.iter().any(|kept| kept == name)).collect();
        assert_eq!(left, NOT_OF_PLAIN, "a rule has another name or place now");
    }

    #[test]
    fn operators_of_few_rows_go_through_the_rules_that_change_what_they_give() {
        let sessions = sessions();
        let rules = sessions.small.physical_optimizers();
        let named: Vec<&str> = rules.iter().map(|rule| rule.name()).collect();
        assert_eq!(named, OF_SMALL, "a rule has another name or place now");
        let rules = sessions.plain_small.physical_optimizers();
        assert_eq!(rules.iter().map(|rule| rule.name()).collect::<Vec<_>>(), [LIMIT]);
    }

    /// What one round with these rules makes of a simple plan is what all rules make of it in as many as it takes.
    #[tokio::test]
    async fn a_simple_plan_is_optimized_as_well_as_any() {
        let sessions = sessions();
        let context = SessionContext::new();
        context.sql("CREATE TABLE t AS VALUES (1, 2), (3, 4)").await.unwrap();
        for sql in [
            "SELECT column1 FROM t x WHERE column2 > 1 LIMIT 3",
            "SELECT column1 + 1 AS a, column1 + 1 AS b FROM t x WHERE NOT (column2 <= 1 OR column1 = 1 + 1) LIMIT 3",
            "SELECT column2, COUNT(*), SUM(column1) FROM t x WHERE column1 > 0 GROUP BY column2 HAVING SUM(column1) > 2 ORDER BY 2 DESC LIMIT 10",
            "SELECT DISTINCT column1 FROM t x ORDER BY column1 LIMIT 2 OFFSET 1",
            "SELECT COUNT(DISTINCT column1), MAX(column2) FROM t x WHERE column1 BETWEEN 1 AND 3",
            "SELECT column1, ROW_NUMBER() OVER (PARTITION BY column2 ORDER BY column1) FROM t x WHERE column2 = 2",
            "SELECT * FROM t x WHERE false",
        ] {
            let plan = context.state().create_logical_plan(sql).await.unwrap();
            let (optimized, chosen) = sessions.optimize(&plan, true).unwrap();
            assert!(!std::ptr::eq(chosen, &raw const sessions.whole), "{sql}");
            let best = sessions.whole.optimize(&plan).unwrap();
            // Common expressions are numbered over all plans.
            let shown = |plan: &LogicalPlan| {
                let text = plan.display_indent().to_string();
                let parts =
                    text.split("__common_expr_").map(|part| part.trim_start_matches(|c: char| c.is_ascii_digit()));
                parts.collect::<Vec<_>>().join("common")
            };
            assert_eq!(shown(&optimized), shown(&best), "{sql}");
        }
    }

    #[tokio::test]
    async fn a_simple_query_reads_one_table_without_join_union_and_subquery() {
        let sessions = sessions();
        let context = SessionContext::new();
        context.sql("CREATE TABLE t AS VALUES (1, 2), (3, 4)").await.unwrap();
        for (sql, simple) in [
            ("SELECT column1, COUNT(*) FROM t WHERE column2 > 1 GROUP BY column1 ORDER BY 2 LIMIT 3", true),
            ("SELECT x.column1 FROM t x WHERE x.column1 IN (1, 2)", true),
            ("SELECT column1 FROM (SELECT DISTINCT column1 FROM t x) y WHERE column1 IN (1, 2)", false),
            ("SELECT column1 FROM (SELECT column1, ROW_NUMBER() OVER (ORDER BY column2) AS n FROM t)", false),
            ("WITH y AS (SELECT column1 FROM t) SELECT column1 FROM y", false),
            ("SELECT 1", false),
            ("SELECT a.column1 FROM t a, t b", false),
            ("SELECT a.column1 FROM t a LEFT JOIN t b ON a.column1 = b.column2", false),
            ("SELECT 1 UNION ALL SELECT 2", false),
            ("SELECT column1 FROM t WHERE column1 IN (SELECT column2 FROM t)", false),
            ("SELECT column1, (SELECT MAX(column2) FROM t) FROM t", false),
            ("SELECT column1 FROM t WHERE EXISTS (SELECT 1)", false),
            ("SELECT COUNT(*) FROM t HAVING COUNT(*) > (SELECT 1)", false),
            ("SELECT column1 FROM t WHERE column1 > ANY (SELECT column2 FROM t)", false),
        ] {
            let state = context.state();
            let plan = state.create_logical_plan(sql).await.unwrap();
            let parsed = state.sql_to_statement(sql, &state.config_options().sql_parser.dialect).unwrap();
            let datafusion::sql::parser::Statement::Statement(mut parsed) = parsed else { panic!("{sql}") };
            let (_, chosen) = sessions.optimize(&plan, OneTable::of(&mut parsed).is_some()).unwrap();
            assert_eq!(!std::ptr::eq(chosen, &raw const sessions.whole), simple, "{sql}");
        }
    }
}
