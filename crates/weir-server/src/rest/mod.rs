//! The REST surface in Pinot's paths and shapes: one module per resource, one router per port.

pub mod answer;
pub mod api;
mod checks;
mod cluster;
mod consume_from;
mod multipart;
mod quarantine;
mod query;
mod realtime;
mod schemas;
mod segments;
mod table_configs;
mod tables;
mod tail;
mod topics;
mod views;
mod who;

use crate::console;
use api::Api;
pub(crate) use quarantine::stage;

/// Query parameters of a request.
type Params = std::collections::BTreeMap<String, String>;

/// What the controller port answers.
#[must_use]
pub fn controller() -> Api {
    let api = console::routes(Api::new("weir controller"));
    let api = schemas::routes(api);
    let api = tables::routes(api);
    let api = table_configs::routes(api);
    let api = views::routes(api);
    let api = realtime::routes(api);
    let api = quarantine::routes(api);
    let api = segments::routes(api);
    let api = topics::routes(api);
    let api = tail::routes(api);
    let api = checks::routes(api);
    let api = query::controller_routes(api);
    cluster::controller_routes(api)
}

/// What the broker port answers.
#[must_use]
pub fn broker() -> Api {
    let api = Api::new("weir broker");
    let api = query::broker_routes(api);
    cluster::broker_routes(api)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_route_is_said_twice_and_every_one_says_something() {
        for api in [controller(), broker()] {
            let mut seen = BTreeSet::new();
            for doc in api.docs() {
                assert!(seen.insert((doc.method(), doc.path())), "{} {}", doc.method(), doc.path());
                assert!(doc.path().starts_with('/'));
            }
            assert!(seen.len() > 5);
        }
    }
}
