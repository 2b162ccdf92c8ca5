//! Names of a party: SIP tags, Via branch, label.

/// To-tags kept per party; forks beyond this replace the oldest alias.
const TAGS_MAX: usize = 8;

/// Branches per party. Only in a call that has as many legs as it may have do forks share one.
const BRANCHES_MAX: usize = 64;

/// How signalling refers to a party.
#[derive(Debug, Clone, Default)]
pub(crate) struct PartyNames {
    /// SIP tags: the party's tag, then the To-tags of other forks (RFC 3261 12.1). Empty for a callee that no answer has named.
    tags: Vec<String>,
    /// Of the request to the party: one, or several forks that share its leg.
    branches: Vec<String>,
    label: Option<String>,
}

impl PartyNames {
    /// A callee: its To-tag if the offer has one, and the branch of the request.
    pub(crate) fn of_callee(to_tag: Option<String>, via_branch: Option<String>) -> Self {
        Self { tags: to_tag.into_iter().collect(), branches: via_branch.into_iter().collect(), label: None }
    }

    pub(crate) fn tags(&self) -> &[String] {
        &self.tags
    }

    pub(crate) fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|known| known == tag)
    }

    pub(crate) fn is_unnamed(&self) -> bool {
        self.tags.is_empty()
    }

    pub(crate) fn branches(&self) -> &[String] {
        &self.branches
    }

    pub(crate) fn has_branch(&self, branch: &str) -> bool {
        self.branches.iter().any(|known| known == branch)
    }

    /// Another fork shares the leg. Returns false if there are too many.
    pub(crate) fn share_with(&mut self, branch: &str) -> bool {
        let has_room = self.branches.len() < BRANCHES_MAX;
        if has_room {
            self.branches.push(branch.to_owned());
        }
        has_room
    }

    pub(crate) fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }

    pub(crate) fn set_label(&mut self, label: &str) {
        self.label = Some(label.to_owned());
    }

    /// Makes `tag` the party's first name, unless it is one of its names already.
    pub(crate) fn set_main_tag(&mut self, tag: &str) {
        if !self.has_tag(tag) {
            self.tags.insert(0, tag.to_owned());
        }
    }

    /// Adds the To-tag of an answer. With `new_branch` the names of earlier forks are dropped.
    pub(crate) fn add_tag(&mut self, tag: &str, new_branch: bool) {
        if self.has_tag(tag) {
            return;
        }
        if new_branch {
            self.tags.clear();
        }
        if self.tags.len() == TAGS_MAX {
            self.tags.remove(1);
        }
        self.tags.push(tag.to_owned());
    }
}
