//! The keys of a node that its tables do not give: from its environment, or from a profile of the file that Amazon's tools share.

use std::collections::BTreeMap;

/// Key, secret and session token.
pub(super) type Keys = (String, String, Option<String>);

/// Where a node may have keys.
pub(super) struct Surroundings<'a> {
    pub(super) variable: &'a dyn Fn(&str) -> Option<String>,
    /// The text of a file, or why it cannot be read.
    pub(super) file: &'a dyn Fn(&str) -> Result<String, String>,
}

impl Surroundings<'_> {
    fn variable(&self, name: &str) -> Option<String> {
        (self.variable)(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// The variables, else the profile; the error says what is missing and what to do.
    pub(super) fn keys(&self) -> Result<Keys, String> {
        let names = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
        match names.map(|name| self.variable(name)) {
            [Some(key), Some(secret)] => return Ok((key, secret, self.variable("AWS_SESSION_TOKEN"))),
            [None, None] => {}
            [one, _] => {
                let (set, missing) = if one.is_some() { (names[0], names[1]) } else { (names[1], names[0]) };
                return Err(format!("the variable {missing} of the node, which is not set beside {set}: set it too"));
            }
        }
        let profile = self.variable("AWS_PROFILE");
        let home = || self.variable("HOME").map(|home| format!("{home}/.aws/credentials"));
        let Some(path) = self.variable("AWS_SHARED_CREDENTIALS_FILE").or_else(home) else { return Err(NOWHERE.into()) };
        match (self.file)(&path) {
            Ok(text) => of_profile(&text, profile.as_deref().unwrap_or("default"), &path),
            Err(why) if profile.is_some() => Err(format!(
                "the file {path} for the profile that AWS_PROFILE names, which cannot be read on this node ({why}): put it \
                 there, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )),
            Err(_) => Err(NOWHERE.into()),
        }
    }
}

const NOWHERE: &str = "the variable AWS_ACCESS_KEY_ID of the node, which is not set, and there is no file of profiles \
                       (~/.aws/credentials): set it and AWS_SECRET_ACCESS_KEY, or accessKey and secretKey of the table";

/// The keys of one profile. Values are never part of an error.
fn of_profile(text: &str, name: &str, path: &str) -> Result<Keys, String> {
    let mut of_name: Option<BTreeMap<&str, &str>> = None;
    let mut inside = false;
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(head) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            inside = head.trim().trim_start_matches("profile ").trim() == name;
            if inside {
                of_name.get_or_insert_default();
            }
        } else if let Some((key, value)) = line.split_once('=').filter(|_| inside) {
            of_name.get_or_insert_default().insert(key.trim(), value.trim());
        }
    }
    let Some(found) = of_name else {
        return Err(format!(
            "the profile {name} of {path}, which has none of that name: correct AWS_PROFILE, or add it"
        ));
    };
    let value = |key: &str| found.get(key).filter(|value| !value.is_empty()).map(|value| (*value).to_owned());
    match (value("aws_access_key_id"), value("aws_secret_access_key")) {
        (Some(key), Some(secret)) => Ok((key, secret, value("aws_session_token"))),
        _ => {
            let others = ["role_arn", "credential_process", "sso_session", "sso_start_url", "web_identity_token_file"];
            let instead = others.into_iter().find(|other| found.contains_key(other));
            Err(match instead {
                Some(other) => format!(
                    "the profile {name} of {path}, which gets its keys by {other}: that is not done here, so put \
                     aws_access_key_id, aws_secret_access_key and aws_session_token of a session into it"
                ),
                None => format!(
                    "the profile {name} of {path}, which lacks aws_access_key_id or aws_secret_access_key: add it"
                ),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(variables: &[(&str, &str)], file: Result<&str, &str>) -> Result<Keys, String> {
        let variable =
            |name: &str| variables.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned());
        let file = |_: &str| file.map(str::to_owned).map_err(str::to_owned);
        Surroundings { variable: &variable, file: &file }.keys()
    }

    const FILE: &str = "\
        # shared\n[default]\naws_access_key_id = k1\naws_secret_access_key=hunter2\n\n\
        [ops]\naws_access_key_id=k2\naws_secret_access_key=a=b/c\naws_session_token = t\n\
        [profile role]\nrole_arn = arn:aws:iam::1:role/x\nsource_profile=default\n[half]\naws_access_key_id=k3\n";
    const HOME: (&str, &str) = ("HOME", "/home/weir");

    #[test]
    fn the_environment_wins_and_profiles_are_read() {
        let own = [("AWS_ACCESS_KEY_ID", "k"), ("AWS_SECRET_ACCESS_KEY", " s "), ("AWS_PROFILE", "ops"), HOME];
        assert_eq!(keys(&own, Ok(FILE)), Ok(("k".into(), "s".into(), None)));
        assert_eq!(keys(&[HOME], Ok(FILE)), Ok(("k1".into(), "hunter2".into(), None)));
        let named = [("AWS_PROFILE", "ops"), ("AWS_SHARED_CREDENTIALS_FILE", "/run/aws")];
        assert_eq!(keys(&named, Ok(FILE)), Ok(("k2".into(), "a=b/c".into(), Some("t".into()))));
    }

    #[test]
    fn what_is_missing_is_named_with_the_remedy() {
        let profile = |name: &'static str| [HOME, ("AWS_PROFILE", name)];
        for (variables, file, says) in [
            (&[][..], Err("-"), "AWS_ACCESS_KEY_ID"),
            (&[HOME], Err("no such file"), "accessKey and secretKey"),
            (&profile("ops"), Err("no such file"), "/home/weir/.aws/credentials"),
            (
                &profile("opps"),
                Ok(FILE),
                "the profile opps of /home/weir/.aws/credentials, which has none of that name",
            ),
            (&profile("role"), Ok(FILE), "by role_arn"),
            (&profile("half"), Ok(FILE), "lacks aws_access_key_id or aws_secret_access_key"),
            (&[("AWS_SECRET_ACCESS_KEY", "hunter2"), HOME], Ok(FILE), "AWS_ACCESS_KEY_ID of the node"),
            (&[("AWS_ACCESS_KEY_ID", "k"), HOME], Ok(FILE), "AWS_SECRET_ACCESS_KEY of the node"),
        ] {
            let said = keys(variables, file).unwrap_err();
            assert!(said.contains(says) && !said.contains("hunter2"), "{variables:?}: {said}");
        }
    }
}
