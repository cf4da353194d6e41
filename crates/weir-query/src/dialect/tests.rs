//! Queries as the dialect rewrites them.
