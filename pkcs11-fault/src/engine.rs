//! The way of a call: counted, planned, let in, delayed, spoilt or carried out.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::Ordering::Relaxed,
    },
    time::{Duration, Instant},
};

use cryptoki_sys as ck;
use fastrand::Rng;

use crate::{
    Code, Function, Script,
    counters::Counters,
    gate::{Gate, lock},
    low::{self, Inner},
    mechanism::Mechanism,
    rules::{self, Active, Plan, Rules},
    script::{At, Rule, SignatureFault},
    tokens::{Session, Tokens},
};

/// The module, once its script is read and the real one is loaded.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) inner: Inner,
    settings: RwLock<Arc<Settings>>,
    /// Held shared by calls in the real module, and alone by what must find none there.
    life: RwLock<Life>,
    pub(crate) gate: Gate,
    pub(crate) counters: Counters,
    pub(crate) tokens: Tokens,
    rng: Mutex<Rng>,
    /// What every call answers until `C_Finalize`.
    poison: Mutex<Option<Code>>,
    /// Held while a session opens, so that the limit is exact.
    opening: Mutex<()>,
    /// Keys that sign in other keys' place.
    twins: Mutex<Twins>,
}

/// By slot and key, the key that signs in its place.
pub(crate) type Twins = HashMap<(ck::CK_SLOT_ID, ck::CK_OBJECT_HANDLE), ck::CK_OBJECT_HANDLE>;

/// The script, and its rules at work.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) script: Script,
    pub(crate) rules: Rules,
    /// What the script says that tokens do not have.
    without: Vec<Mechanism>,
}

#[derive(Debug, Default)]
struct Life {
    initialized: bool,
    generation: u64,
}

/// Whom a call asks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    Module,
    Slot(ck::CK_SLOT_ID),
    Session(ck::CK_SESSION_HANDLE),
}

/// What the code that carries a call out needs to know.
#[derive(Debug)]
pub(crate) struct Call {
    /// The session; present when the target is one.
    pub(crate) session: Option<Arc<Session>>,
    pub(crate) label: Option<Arc<str>>,
    pub(crate) signature: Option<SignatureFault>,
    /// The answer is lost on its way: outputs are wiped.
    pub(crate) lost: bool,
}

impl Call {
    /// The real module's handle of the session.
    pub(crate) fn handle(&self) -> ck::CK_SESSION_HANDLE {
        self.session
            .as_ref()
            .map_or(ck::CK_INVALID_HANDLE, |session| session.inner)
    }
}

impl Settings {
    fn new(mut script: Script) -> Self {
        let rules = script.rule.drain(..).map(|r| Arc::new(Active::new(r)));
        Self {
            rules: rules.collect(),
            without: without(&script),
            script,
        }
    }

    /// Whether tokens lack a mechanism that the real module may have.
    pub(crate) fn lack(&self, mechanism: ck::CK_MECHANISM_TYPE) -> bool {
        self.without.contains(&Mechanism(mechanism))
    }

    /// The script as it stands, rules included.
    pub(crate) fn script(&self) -> Script {
        let mut script = self.script.clone();
        script.rule = self
            .rules
            .iter()
            .map(|active| active.rule.clone())
            .collect();
        script
    }
}

fn without(script: &Script) -> Vec<Mechanism> {
    let named = script.without.iter();
    named.filter_map(|name| Mechanism::parse(name)).collect()
}

impl Engine {
    pub(crate) fn new(inner: Inner, script: Script) -> Self {
        let rng = match script.seed {
            0 => Rng::new(),
            seed => Rng::with_seed(seed),
        };
        let gate = Gate::default();
        gate.set_capacity(script.capacity);
        Self {
            inner,
            settings: RwLock::new(Arc::new(Settings::new(script))),
            life: RwLock::default(),
            gate,
            counters: Counters::default(),
            tokens: Tokens::default(),
            rng: Mutex::new(rng),
            poison: Mutex::default(),
            opening: Mutex::default(),
            twins: Mutex::default(),
        }
    }

    // What the socket changes.

    pub(crate) fn settings(&self) -> Arc<Settings> {
        let settings = self.settings.read();
        Arc::clone(&settings.unwrap_or_else(PoisonError::into_inner))
    }

    fn change(&self, change: impl FnOnce(&mut Settings)) {
        let mut settings = self
            .settings
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let mut new = Settings::clone(&settings);
        change(&mut new);
        self.gate.set_capacity(new.script.capacity);
        *settings = Arc::new(new);
    }

    /// Replaces the script; the module that is wrapped and the socket stay.
    pub(crate) fn load(&self, script: Script) {
        if script.seed != 0 {
            *lock(&self.rng) = Rng::with_seed(script.seed);
        }
        self.tokens.reset_pins();
        self.change(|settings| *settings = Settings::new(script));
    }

    /// Replaces all but the rules, which go on counting.
    pub(crate) fn set(&self, mut script: Script) {
        script.rule.clear();
        self.change(|settings| {
            settings.without = without(&script);
            settings.script = script;
        });
    }

    /// Adds a rule, or replaces the one of its name.
    pub(crate) fn add_rule(&self, rule: Rule) {
        self.change(|settings| {
            let active = Arc::new(Active::new(rule));
            let same = |other: &&mut Arc<Active>| other.rule.name == active.rule.name;
            match settings.rules.iter_mut().find(same) {
                Some(old) => *old = active,
                None => settings.rules.push(active),
            }
        });
    }

    /// Drops a rule; false when there is none of this name.
    pub(crate) fn drop_rule(&self, name: &str) -> bool {
        let before = self.settings().rules.len();
        self.change(|settings| settings.rules.retain(|active| active.rule.name != name));
        self.settings().rules.len() < before
    }

    pub(crate) fn clear_rules(&self) {
        self.change(|settings| settings.rules.clear());
    }

    /// Closes the token's sessions behind their owners' backs, or all tokens'. Who was
    /// logged in there no longer is.
    pub(crate) fn lose_sessions(&self, token: Option<&str>) {
        let _alone = self.alone();
        for slot in self.tokens.lose_sessions(token) {
            self.inner.close_all_sessions(slot);
        }
        lock(&self.twins).clear();
    }

    pub(crate) fn remove(&self, token: Option<&str>) {
        self.tokens.remove(token);
        self.lose_sessions(token);
    }

    pub(crate) fn set_poison(&self, code: Option<Code>) {
        *lock(&self.poison) = code;
    }

    /// One line for each thing worth knowing.
    pub(crate) fn stats(&self) -> Vec<String> {
        let settings = self.settings();
        let mut lines = self.counters.lines();
        let rule = |active: &Arc<Active>| format!("rule {} {}", active.rule.name, active.met());
        lines.extend(settings.rules.iter().map(rule));
        lines.push(format!("sessions open {}", self.tokens.open_sessions(None)));
        lines.push(format!("initialized times {}", self.shared().generation));
        lines.extend(self.tokens.pin_lines(settings.script.pin));
        lines
    }

    // What calls do.

    /// One of so many, by chance.
    pub(crate) fn chance(&self, many: usize) -> usize {
        lock(&self.rng).usize(..many)
    }

    pub(crate) fn twins(&self) -> MutexGuard<'_, Twins> {
        lock(&self.twins)
    }

    pub(crate) fn opening(&self) -> MutexGuard<'_, ()> {
        lock(&self.opening)
    }

    fn shared(&self) -> RwLockReadGuard<'_, Life> {
        self.life.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn alone(&self) -> RwLockWriteGuard<'_, Life> {
        self.life.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a call, with whatever the rules do to it.
    pub(crate) fn call(
        &self,
        function: Function,
        target: Target,
        act: impl FnOnce(&Call) -> ck::CK_RV,
    ) -> ck::CK_RV {
        self.counted(function, || self.run(function, target, true, act))
    }

    /// Runs a call that asks how long the answer would be: no rule meets it.
    pub(crate) fn query(
        &self,
        function: Function,
        target: Target,
        act: impl FnOnce(&Call) -> ck::CK_RV,
    ) -> ck::CK_RV {
        self.counted(function, || self.run(function, target, false, act))
    }

    /// `C_Initialize`.
    pub(crate) fn initialize(&self, act: impl FnOnce() -> ck::CK_RV) -> ck::CK_RV {
        self.counted(Function::C_Initialize, || {
            let (plan, releases) = self.plan(Function::C_Initialize, None);
            self.carry_out(&plan, releases, Duration::ZERO, || {
                let mut life = self.alone();
                let rv = act();
                if rv == ck::CKR_OK {
                    self.tokens.begin(self.settings().script.handles);
                    life.initialized = true;
                    life.generation += 1;
                }
                rv
            })
        })
    }

    /// `C_Finalize`.
    pub(crate) fn finalize(&self, act: impl FnOnce() -> ck::CK_RV) -> ck::CK_RV {
        self.counted(Function::C_Finalize, || {
            // This call is one of them.
            if self.counters.inside.now() > 1 {
                let violations = &self.counters.violations;
                violations.finalize_during_call.fetch_add(1, Relaxed);
            }
            let (plan, releases) = self.plan(Function::C_Finalize, None);
            self.carry_out(&plan, releases, Duration::ZERO, || {
                let mut life = self.alone();
                let rv = act();
                if rv == ck::CKR_OK {
                    life.initialized = false;
                    self.tokens.end();
                    lock(&self.twins).clear();
                    *lock(&self.poison) = None;
                }
                rv
            })
        })
    }

    fn counted(&self, function: Function, run: impl FnOnce() -> ck::CK_RV) -> ck::CK_RV {
        self.counters.call(function);
        let _inside = self.counters.inside.enter();
        let rv = run();
        self.counters.code(function, rv);
        rv
    }

    /// What happens to a call, and how often was released until now.
    fn plan(&self, function: Function, label: Option<&str>) -> (Plan, u64) {
        let settings = self.settings();
        let releases = self.gate.releases();
        let plan = rules::plan(&settings.rules, function, label, &mut lock(&self.rng));
        (plan, releases)
    }

    /// Hangs, answers the planned code or does the work, and takes as long as planned, of
    /// which so much has `passed`.
    fn carry_out(
        &self,
        plan: &Plan,
        releases: u64,
        passed: Duration,
        work: impl FnOnce() -> ck::CK_RV,
    ) -> ck::CK_RV {
        if let Some(most) = plan.hang {
            let _hanging = self.counters.hanging.enter();
            self.gate.hang(releases, most);
        }
        let start = Instant::now();
        let rv = match plan.code {
            Some((code, At::Before)) => code.0,
            Some((code, At::After)) => {
                work();
                code.0
            }
            None => work(),
        };
        // No lock is held here.
        low::sleep_until(start + plan.latency.saturating_sub(passed));
        rv
    }

    fn run(
        &self,
        function: Function,
        target: Target,
        ruled: bool,
        act: impl FnOnce(&Call) -> ck::CK_RV,
    ) -> ck::CK_RV {
        let generation = {
            let life = self.shared();
            // What asks the module itself may be asked at any time.
            if !life.initialized && !matches!(target, Target::Module) {
                return ck::CKR_CRYPTOKI_NOT_INITIALIZED;
            }
            if let Target::Slot(slot) = target {
                self.learn(slot);
            }
            life.generation
        };
        let session = match target {
            Target::Session(handle) => {
                let session = self.tokens.session(handle);
                if session.is_none() && self.tokens.is_stale(handle) {
                    let violations = &self.counters.violations;
                    violations.stale_handle.fetch_add(1, Relaxed);
                }
                session
            }
            _ => None,
        };
        let label = match (target, &session) {
            (Target::Slot(slot), _) => self.tokens.label(slot),
            (_, Some(session)) => session.label.clone(),
            _ => None,
        };
        let (plan, releases) = if ruled {
            self.plan(function, label.as_deref())
        } else {
            (Plan::default(), 0)
        };
        let call = Call {
            session,
            label,
            signature: plan.signature,
            lost: matches!(plan.code, Some((_, At::After))),
        };
        let in_use = call.session.as_deref().map(Session::enter);
        if matches!(in_use, Some(None)) {
            let violations = &self.counters.violations;
            violations.session_shared.fetch_add(1, Relaxed);
        }
        // A query does not occupy the token.
        let _lane = (ruled && matches!(target, Target::Session(_))).then(|| {
            let waiting = self.counters.waiting.enter();
            let lane = self.gate.enter();
            drop(waiting);
            // No longer counted when the lane is free for the next.
            (self.counters.executing.enter(), lane)
        });
        let init = || {
            let session = call.session.as_ref().filter(|_| plan.with_init)?;
            let operation = lock(&session.operation);
            operation.as_ref().map(|operation| operation.init)
        };
        let passed = init().unwrap_or_default();
        self.carry_out(&plan, releases, passed, || {
            let life = self.shared();
            match self.obstacle(&life, generation, function, target, &call) {
                Some(code) => code,
                None => act(&call),
            }
        })
    }

    /// Why the call can't reach the token, if it can't.
    fn obstacle(
        &self,
        life: &Life,
        generation: u64,
        function: Function,
        target: Target,
        call: &Call,
    ) -> Option<ck::CK_RV> {
        if function == Function::C_GetInfo {
            return None;
        }
        if let Some(code) = *lock(&self.poison) {
            return Some(code.0);
        }
        if matches!(target, Target::Module) {
            return None;
        }
        if !life.initialized {
            return Some(ck::CKR_CRYPTOKI_NOT_INITIALIZED);
        }
        let away = self.tokens.is_away(call.label.as_deref());
        match target {
            // A slot is there without a token.
            Target::Slot(_) => {
                (away && function != Function::C_GetSlotInfo).then_some(ck::CKR_TOKEN_NOT_PRESENT)
            }
            _ if away => Some(ck::CKR_DEVICE_REMOVED),
            // A call that hung or waited over a reinitialisation has lost its session.
            _ => match &call.session {
                Some(session) if generation == life.generation && !session.is_dead() => None,
                _ => Some(ck::CKR_SESSION_HANDLE_INVALID),
            },
        }
    }

    /// Finds out the label of the token in a slot, once.
    fn learn(&self, slot: ck::CK_SLOT_ID) {
        if self.tokens.label(slot).is_none()
            && let Some(label) = self.inner.token_label(slot)
        {
            self.tokens.learn(slot, &label);
        }
    }
}
