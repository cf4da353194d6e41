//! What plans queries: the functions, the rules and the settings of DataFusion, for all queries and for small ones. A small
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

/// Rules that change joins, unions and subqueries only: each of them goes through the whole plan all the same.
const OF_SEVERAL_RELATIONS: [&str; 11] = [
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
];

/// The sessions of an engine.
pub(crate) struct Sessions {
    whole: SessionState,
    /// For plans of one relation.
    single: SessionState,
    /// For plans of one relation that one thread runs.
    small: SessionState,
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
        let rules = whole.optimizers().iter().filter(|rule| !OF_SEVERAL_RELATIONS.contains(&rule.name())).cloned();
        let rules = rules.collect();
        let single = SessionStateBuilder::new_from_existing(whole.clone()).with_optimizer_rules(rules).build();
        let config = whole.config().clone().with_target_partitions(1);
        let small = SessionStateBuilder::new_from_existing(single.clone()).with_config(config).build();
        Ok(Self { whole, single, small, thread_rows: options.thread_rows })
    }

    /// What every query can be planned with.
    pub(crate) fn whole(&self) -> &SessionState {
        &self.whole
    }

    /// Optimizes a plan; gives it back with the session that is to make operators of it.
    pub(crate) fn optimize(&self, plan: &LogicalPlan) -> Result<(LogicalPlan, &SessionState)> {
        if !reads_one_relation(plan)? {
            return Ok((self.whole.optimize(plan)?, &self.whole));
        }
        let optimized = self.single.optimize(plan)?;
        let is_small = work(&optimized)?.is_for_one(self.thread_rows);
        Ok((optimized, if is_small { &self.small } else { &self.single }))
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

/// Whether a plan has no join, no union and no subquery.
fn reads_one_relation(plan: &LogicalPlan) -> Result<bool> {
    let mut one = true;
    plan.apply_with_subqueries(|node| {
        one = !matches!(
            node,
            LogicalPlan::Join(_) | LogicalPlan::Union(_) | LogicalPlan::Subquery(_) | LogicalPlan::RecursiveQuery(_)
        );
        Ok(if one { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    Ok(one)
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn what_is_left_out_for_one_relation_is_there_for_several() {
        let sessions = sessions();
        let named =
            |state: &SessionState| state.optimizers().iter().map(|rule| rule.name().to_owned()).collect::<Vec<_>>();
        let (whole, single) = (named(&sessions.whole), named(&sessions.single));
        let left: Vec<&str> =
            whole.iter().map(String::as_str).filter(|name| !single.iter().any(|kept| kept == name)).collect();
        assert_eq!(left, OF_SEVERAL_RELATIONS, "a rule has another name or place now");
    }

    #[tokio::test]
    async fn a_plan_of_one_relation_is_one_without_join_union_and_subquery() {
        let sessions = sessions();
        let context = SessionContext::new();
        context.sql("CREATE TABLE t AS VALUES (1, 2), (3, 4)").await.unwrap();
        for (sql, one) in [
            ("SELECT column1, COUNT(*) FROM t WHERE column2 > 1 GROUP BY column1 ORDER BY 2 LIMIT 3", true),
            ("SELECT * FROM (SELECT DISTINCT column1 FROM t) WHERE column1 IN (1, 2)", true),
            ("SELECT 1", true),
            ("SELECT * FROM t a, t b", false),
            ("SELECT a.column1 FROM t a LEFT JOIN t b ON a.column1 = b.column2", false),
            ("SELECT 1 UNION ALL SELECT 2", false),
            ("SELECT * FROM t WHERE column1 IN (SELECT column2 FROM t)", false),
            ("SELECT column1, (SELECT MAX(column2) FROM t) FROM t", false),
            ("SELECT * FROM t WHERE EXISTS (SELECT 1)", false),
            ("SELECT COUNT(*) FROM t HAVING COUNT(*) > (SELECT 1)", false),
            ("SELECT * FROM t WHERE column1 > ANY (SELECT column2 FROM t)", false),
        ] {
            let plan = context.state().create_logical_plan(sql).await.unwrap();
            let (_, chosen) = sessions.optimize(&plan).unwrap();
            assert_eq!(!std::ptr::eq(chosen, &raw const sessions.whole), one, "{sql}");
        }
    }
}
