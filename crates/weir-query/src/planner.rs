//! Lets DataFusion plan a rewritten query: our tables by the names that the dialect gave them, functions of the session.

use arrow::datatypes::DataType;
use datafusion::{
    catalog::TableProvider,
    common::{Result, TableReference, plan_datafusion_err},
    config::ConfigOptions,
    datasource::provider_as_source,
    execution::SessionState,
    logical_expr::{
        AggregateUDF, HigherOrderUDF, LogicalPlan, ScalarUDF, TableSource, WindowUDF,
        planner::{ContextProvider, ExprPlanner, TypePlanner},
    },
    sql::{
        planner::{ParserOptions, SqlToRel},
        sqlparser::ast::Statement,
    },
};
use std::{collections::HashMap, sync::Arc};

/// The tables of a query, by the names that its rewritten text has.
pub(crate) type QueryTables = HashMap<String, Arc<dyn TableProvider>>;

struct Context<'a> {
    state: &'a SessionState,
    tables: HashMap<String, Arc<dyn TableSource>>,
}

/// Plans a rewritten query.
pub(crate) fn plan(state: &SessionState, tables: &QueryTables, statement: Statement) -> Result<LogicalPlan> {
    let tables = tables.iter().map(|(name, table)| (name.clone(), provider_as_source(table.clone()))).collect();
    let context = Context { state, tables };
    let options = ParserOptions::new().with_enable_ident_normalization(false);
    SqlToRel::new_with_options(&context, options).sql_statement_to_plan(statement)
}

impl ContextProvider for Context<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        self.tables.get(name.table()).cloned().ok_or_else(|| plan_datafusion_err!("table '{name}' does not exist"))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        self.state.expr_planners()
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        None
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.state.scalar_functions().get(name).cloned()
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.state.higher_order_functions().get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.state.aggregate_functions().get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.state.window_functions().get(name).cloned()
    }

    fn get_variable_type(&self, _: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.state.config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        self.state.scalar_functions().keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        self.state.higher_order_functions().keys().cloned().collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.state.aggregate_functions().keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.state.window_functions().keys().cloned().collect()
    }
}
