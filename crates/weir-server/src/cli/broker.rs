//! Which broker answers queries: the one that is named, else the one that the controller names, else the usual one.

use crate::{
    cli::{BROKER, BROKER_VARIABLE, CONTROLLER, ControllerAddress, Failure, on_broker},
    client::Client,
};

/// Where the broker is asked.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct BrokerAddress {
    /// URL of the broker, which answers queries; the controller names it where it is not given
    #[arg(long, env = BROKER_VARIABLE, value_name = "URL")]
    broker: Option<String>,
}

impl BrokerAddress {
    /// Its URL.
    ///
    /// # Errors
    /// A controller that was named does not answer.
    pub(super) async fn url(&self, controller: &ControllerAddress) -> Result<String, Failure> {
        if let Some(broker) = &self.broker {
            return Ok(broker.clone());
        }
        match named_by(&Client::new(&controller.controller)).await {
            Ok(found) => Ok(found.unwrap_or_else(|| BROKER.to_owned())),
            // Nobody named a controller: the broker may run without one on the usual port.
            Err(_) if controller.controller == CONTROLLER => Ok(BROKER.to_owned()),
            Err(error) => Err(error),
        }
    }
}

/// The broker that a controller names; none where its answer names none.
async fn named_by(controller: &Client) -> Result<Option<String>, Failure> {
    let answer = controller.get("/v2/brokers/tenants").await?.json();
    let broker = answer.as_object().and_then(|tenants| tenants.values().next()?.get(0));
    let url =
        |broker: &serde_json::Value| Some(format!("http://{}:{}", broker["host"].as_str()?, broker["port"].as_u64()?));
    Ok(broker.and_then(url))
}

/// A `weir sql` command to paste that asks the broker of this controller.
pub(super) async fn sql_there(command: &str, address: &ControllerAddress, controller: &Client) -> String {
    // It finds the broker through the controller, unless a variable names one.
    if std::env::var_os(BROKER_VARIABLE).is_none() && address.same(command) == command {
        return command.to_owned();
    }
    let broker = named_by(controller).await.ok().flatten();
    on_broker(command, broker.as_deref().unwrap_or(BROKER))
}
