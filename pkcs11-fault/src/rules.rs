//! Which rules meet a call, and what they do to it together.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use fastrand::Rng;

use crate::{
    Code, Function,
    script::{At, Latency, Lognormal, Normal, Rule, SignatureFault, Storm},
};

/// A rule at work.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) rule: Rule,
    functions: Vec<bool>,
    codes: Vec<Code>,
    since: Instant,
    seen: AtomicU64,
    met: AtomicU64,
}

/// What happens to one call.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Plan {
    pub(crate) latency: Duration,
    /// What the operation took before this call is part of it.
    pub(crate) with_init: bool,
    /// It hangs; so long at the most, when there is a length.
    pub(crate) hang: Option<Option<Duration>>,
    pub(crate) code: Option<(Code, At)>,
    pub(crate) signature: Option<SignatureFault>,
}

/// The rules in force, in the order in which they were given.
pub(crate) type Rules = Vec<Arc<Active>>;

/// What the rules make of a call of `function` on the token that is labelled `token`.
pub(crate) fn plan(rules: &Rules, function: Function, token: Option<&str>, rng: &mut Rng) -> Plan {
    let mut plan = Plan::default();
    for rule in rules {
        if rule.meets(function, token, rng) {
            rule.act(&mut plan, rng);
        }
    }
    plan
}

impl Active {
    pub(crate) fn new(rule: Rule) -> Self {
        let fits = |function: Function| match rule.functions.as_slice() {
            [] => !function.is_module_wide(),
            patterns => patterns.iter().any(|pattern| function.fits(pattern)),
        };
        Self {
            functions: Function::all().map(fits).collect(),
            codes: rule.codes.iter().filter_map(|c| Code::parse(c)).collect(),
            since: Instant::now(),
            seen: AtomicU64::new(0),
            met: AtomicU64::new(0),
            rule,
        }
    }

    /// How many calls it has met.
    pub(crate) fn met(&self) -> u64 {
        self.met.load(Relaxed)
    }

    fn meets(&self, function: Function, token: Option<&str>, rng: &mut Rng) -> bool {
        let other_token = self.rule.token.as_deref().is_some_and(|t| Some(t) != token);
        if !self.functions[function as usize] || other_token {
            return false;
        }
        let when = &self.rule.when;
        if !when
            .storm
            .is_none_or(|storm| blows(storm, self.since.elapsed()))
        {
            return false;
        }
        let seen = self.seen.fetch_add(1, Relaxed) + 1;
        let Some(nth) = seen.checked_sub(when.after).filter(|&nth| nth > 0) else {
            return false;
        };
        if when.every.is_some_and(|every| nth % every != 0)
            || when.probability.is_some_and(|p| rng.f64() >= p)
        {
            return false;
        }
        let limit = when.times.unwrap_or(u64::MAX);
        self.met
            .fetch_update(Relaxed, Relaxed, |met| (met < limit).then_some(met + 1))
            .is_ok()
    }

    fn act(&self, plan: &mut Plan, rng: &mut Rng) {
        if let Some(latency) = self.rule.latency_ms {
            plan.latency += sample(latency, rng);
            plan.with_init |= self.rule.latency_with_init;
        }
        if self.rule.hang || self.rule.hang_ms > 0.0 {
            let most = (self.rule.hang_ms > 0.0).then(|| milliseconds(self.rule.hang_ms));
            plan.hang.get_or_insert(most);
        }
        if plan.code.is_none() {
            plan.code = rng.choice(&self.codes).map(|&code| (code, self.rule.at));
        }
        plan.signature = plan.signature.or(self.rule.signature);
    }
}

/// Whether one of the storms rages after so long.
fn blows(storm: Storm, elapsed: Duration) -> bool {
    elapsed.as_secs_f64() * 1e3 % storm.every_ms < storm.lasts_ms
}

fn sample(latency: Latency, rng: &mut Rng) -> Duration {
    milliseconds(match latency {
        Latency::Fixed(time) => time,
        Latency::Uniform {
            uniform: [low, high],
        } => low + (high - low) * rng.f64(),
        Latency::Normal {
            normal: Normal { mean, deviation },
        } => mean + deviation * standard_normal(rng),
        Latency::Lognormal {
            lognormal: Lognormal { median, sigma },
        } => median * (sigma * standard_normal(rng)).exp(),
    })
}

/// By the method of Box and Muller.
fn standard_normal(rng: &mut Rng) -> f64 {
    // In (0, 1], so that the logarithm is finite.
    let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.f64()).cos()
}

/// A length of time; what is below zero is zero, and a day is the most.
pub(crate) fn milliseconds(time: f64) -> Duration {
    Duration::from_secs_f64((time / 1e3).clamp(0.0, 86_400.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Script, script::When};

    fn rules(toml: &str) -> Rules {
        let script = Script::parse(toml).unwrap();
        script
            .rule
            .into_iter()
            .map(|rule| Arc::new(Active::new(rule)))
            .collect()
    }

    /// Which of the first `calls` calls of `C_Sign` answer a code.
    fn struck(when: &str, calls: usize) -> Vec<usize> {
        let rules = rules(&format!(
            "[[rule]]\nname='r'\nfunctions=['C_Sign']\ncodes=['CKR_DEVICE_ERROR']\nwhen={when}"
        ));
        let mut rng = Rng::with_seed(1);
        (1..=calls)
            .filter(|_| {
                plan(&rules, Function::C_Sign, None, &mut rng)
                    .code
                    .is_some()
            })
            .collect()
    }

    #[test]
    fn after_every_and_times_choose_the_calls() {
        assert_eq!(struck("{}", 3), [1, 2, 3]);
        assert_eq!(struck("{after=2}", 4), [3, 4]);
        assert_eq!(struck("{every=3}", 7), [3, 6]);
        assert_eq!(struck("{after=1,every=2,times=2}", 20), [3, 5]);
        let half = struck("{probability=0.5}", 1000).len();
        assert!((400..600).contains(&half), "{half}");
        assert_eq!(struck("{probability=0.0}", 100), [0; 0]);
        assert_eq!(struck("{probability=1.0}", 100).len(), 100);
    }

    #[test]
    fn a_storm_blows_at_the_start_of_each_period() {
        let storm = Storm {
            every_ms: 1000.0,
            lasts_ms: 200.0,
        };
        for (at, blowing) in [
            (0, true),
            (199, true),
            (201, false),
            (999, false),
            (1100, true),
        ] {
            assert_eq!(blows(storm, Duration::from_millis(at)), blowing, "{at}");
        }
    }

    #[test]
    fn functions_and_tokens_are_told_apart() {
        let rules = rules(
            "[[rule]]\nname='a'\ntoken='one'\nlatency_ms=1\n\
             [[rule]]\nname='b'\nfunctions=['C_Find*']\nlatency_ms=10\n\
             [[rule]]\nname='c'\nfunctions=['C_Initialize']\nlatency_ms=100",
        );
        for (function, token, expected) in [
            (Function::C_Sign, Some("one"), 1),
            (Function::C_Sign, Some("two"), 0),
            (Function::C_Sign, None, 0),
            (Function::C_FindObjectsInit, Some("one"), 11),
            (Function::C_FindObjectsFinal, Some("two"), 10),
            (Function::C_Initialize, None, 100),
            (Function::C_Finalize, None, 0),
        ] {
            let plan = plan(&rules, function, token, &mut Rng::with_seed(1));
            let expected = Duration::from_millis(expected);
            assert_eq!(plan.latency, expected, "{function} {token:?}");
        }
    }

    #[test]
    fn latencies_have_the_shape_that_was_asked_for() {
        let mut rng = Rng::with_seed(1);
        let mut times = |latency: &str| {
            let rule: Rule = toml::from_str(&format!("latency_ms={latency}")).unwrap();
            let mut times: Vec<f64> = (0..2001)
                .map(|_| sample(rule.latency_ms.unwrap(), &mut rng).as_secs_f64() * 1e3)
                .collect();
            times.sort_by(f64::total_cmp);
            times
        };
        let fixed = times("3");
        assert!((fixed[0] - 3.0).abs() < 1e-6 && (fixed[2000] - 3.0).abs() < 1e-6);
        let uniform = times("{uniform=[1.0,5.0]}");
        assert!(uniform[0] >= 1.0 && uniform[2000] <= 5.0 && uniform[1000] > 2.5);
        // A sixth of a normal distribution lies below one deviation under the mean.
        let normal = times("{normal={mean=10.0,deviation=2.0}}");
        assert!((normal[1000] - 10.0).abs() < 0.3 && (normal[317] - 8.0).abs() < 0.3);
        let lognormal = times("{lognormal={median=3.0,sigma=0.5}}");
        assert!((lognormal[1000] - 3.0).abs() < 0.2, "{}", lognormal[1000]);
        assert!((lognormal[1683] - 3.0 * 0.5f64.exp()).abs() < 0.5);
    }

    #[test]
    fn several_rules_act_together_and_the_first_code_is_taken() {
        let rules = rules(
            "[[rule]]\nname='a'\ncodes=['CKR_DEVICE_ERROR']\nat='after'\n\
             [[rule]]\nname='b'\ncodes=['CKR_GENERAL_ERROR']\nhang=true\n\
             [[rule]]\nname='c'\nfunctions=['C_Sign']\nsignature='flip'",
        );
        let plan = plan(&rules, Function::C_Sign, None, &mut Rng::with_seed(1));
        assert_eq!(
            plan,
            Plan {
                latency: Duration::ZERO,
                with_init: false,
                hang: Some(None),
                code: Some((Code(cryptoki_sys::CKR_DEVICE_ERROR), At::After)),
                signature: Some(SignatureFault::Flip),
            }
        );
        assert_eq!(rules[2].met(), 1);
        assert_eq!(rules[2].rule.when, When::default());
    }
}
