"""The whole suite of the store port."""

from __future__ import annotations

from sagabus.testing.conformance.administration import AdministrationConformance
from sagabus.testing.conformance.append import AppendConformance
from sagabus.testing.conformance.columns import ColumnConformance
from sagabus.testing.conformance.commits import ClaimConformance, CommitConformance
from sagabus.testing.conformance.crews import CrewConformance
from sagabus.testing.conformance.dead_letters import DeadLetterConformance, ReplayConformance
from sagabus.testing.conformance.dividing import DividingConformance
from sagabus.testing.conformance.erasing import ErasingConformance
from sagabus.testing.conformance.examining import ExaminationConformance
from sagabus.testing.conformance.fencing import FencingConformance
from sagabus.testing.conformance.fetching import FetchingConformance
from sagabus.testing.conformance.histories import HistoryConformance
from sagabus.testing.conformance.hostile_texts import HostileTextConformance
from sagabus.testing.conformance.identifying import IdentityConformance
from sagabus.testing.conformance.inspecting import (
    InspectionConformance,
    RoutingConformance,
    SurroundingsConformance,
    WakingConformance,
)
from sagabus.testing.conformance.joining import JoinConformance, LifeConformance
from sagabus.testing.conformance.journals import JournalConformance
from sagabus.testing.conformance.keeping import KeepingConformance
from sagabus.testing.conformance.leasing import LeasingConformance
from sagabus.testing.conformance.look_alikes import AlikeConformance
from sagabus.testing.conformance.loud_keys import LoudKeyConformance
from sagabus.testing.conformance.mending import (
    AuditConformance,
    InstanceMendingConformance,
    LetterMendingConformance,
    PauseConformance,
    QueueMendingConformance,
)
from sagabus.testing.conformance.races import RaceConformance
from sagabus.testing.conformance.raw_bodies import RawBodyConformance
from sagabus.testing.conformance.recording import RecordConformance
from sagabus.testing.conformance.replaying import ReplayRuleConformance
from sagabus.testing.conformance.retention import HorizonConformance, PurgeConformance
from sagabus.testing.conformance.retries import RetryConformance, StashConformance
from sagabus.testing.conformance.runs import RunConformance
from sagabus.testing.conformance.sagas import SagaConformance
from sagabus.testing.conformance.surveying import KeyConformance, SurveyConformance, WalkConformance
from sagabus.testing.conformance.suspicion import SuspicionConformance
from sagabus.testing.conformance.timers import TimerConformance
from sagabus.testing.conformance.times import TimesConformance
from sagabus.testing.conformance.transactions import ConnectionConformance, StatementConformance, UnitConformance


class StoreConformance(
    AppendConformance,
    AlikeConformance,
    HostileTextConformance,
    RawBodyConformance,
    FetchingConformance,
    LoudKeyConformance,
    LeasingConformance,
    KeepingConformance,
    CrewConformance,
    DividingConformance,
    FencingConformance,
    IdentityConformance,
    SuspicionConformance,
    ColumnConformance,
    CommitConformance,
    ClaimConformance,
    SagaConformance,
    HistoryConformance,
    JournalConformance,
    TimerConformance,
    TimesConformance,
    RetryConformance,
    StashConformance,
    DeadLetterConformance,
    ReplayConformance,
    ReplayRuleConformance,
    HorizonConformance,
    PurgeConformance,
    UnitConformance,
    ConnectionConformance,
    StatementConformance,
    JoinConformance,
    LifeConformance,
    RoutingConformance,
    SurroundingsConformance,
    InspectionConformance,
    RecordConformance,
    RunConformance,
    SurveyConformance,
    KeyConformance,
    WalkConformance,
    ExaminationConformance,
    WakingConformance,
    RaceConformance,
    AuditConformance,
    InstanceMendingConformance,
    QueueMendingConformance,
    PauseConformance,
    LetterMendingConformance,
    ErasingConformance,
    AdministrationConformance,
):
    """Every promise of `sagabus.store.Store`. Subclass it under a name with `Test` first, and say how to make one."""
