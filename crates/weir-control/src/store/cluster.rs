//! Settings of the whole cluster.

use crate::{
    catalog::{Check, Op},
    cluster::{ClusterConfigError, ClusterConfigs},
    store::{
        Store, StoreError, TRIES, keys,
        stored::{V, at, encode, read},
    },
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Serialize, Deserialize)]
struct StoredConfigs {
    v: u32,
    settings: BTreeMap<String, String>,
}

impl Store {
    /// The settings as they are now.
    pub async fn cluster_configs(&self) -> Result<ClusterConfigs, StoreError> {
        self.versioned_configs().await.map(|(configs, _)| configs)
    }

    async fn versioned_configs(&self) -> Result<(ClusterConfigs, Option<u64>), StoreError> {
        let Some(entry) = self.catalog.get(keys::CLUSTER).await? else { return Ok((ClusterConfigs::default(), None)) };
        let stored: StoredConfigs = at(keys::CLUSTER, read(&entry.value))?;
        let configs = at(keys::CLUSTER, ClusterConfigs::new(stored.settings).map_err(|wrong| wrong.to_string()))?;
        Ok((configs, Some(entry.version)))
    }

    /// Sets some, and removes those that are `None`; answers with all. The outer error is the catalog's.
    pub async fn change_cluster_configs(
        &self,
        changes: &BTreeMap<String, Option<String>>,
    ) -> Result<Result<ClusterConfigs, ClusterConfigError>, StoreError> {
        for _ in 0..TRIES {
            let (before, version) = self.versioned_configs().await?;
            let after = match before.with(changes.clone()) {
                Ok(after) => after,
                Err(wrong) => return Ok(Err(wrong)),
            };
            let check = Check { key: keys::CLUSTER.into(), version };
            let stored = StoredConfigs { v: V, settings: after.settings().clone() };
            let put = Op::Put(keys::CLUSTER.into(), encode(&stored));
            if self.txn(vec![check], vec![put]).await?.is_ok() {
                return Ok(Ok(after));
            }
        }
        Err(StoreError::conflict("the settings of the cluster are being changed by others: try again"))
    }
}
