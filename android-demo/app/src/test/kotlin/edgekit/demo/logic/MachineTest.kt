package edgekit.demo.logic

import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertIs
import kotlin.test.assertTrue

class MachineTest {
    private val missing = Bundle.Missing("bundles/preview: not in the app")
    private val broken = Bundle.Broken("manifest.json: is not JSON")

    /** The state after `events`, and the effects of the last one. */
    private fun after(
        vararg events: Event,
        from: State = State(),
    ): Step = events.fold(Step(from)) { step, event -> Machine.next(step.state, event) }

    private val ready = Event.BundlesRead(Bundle.Ready, Bundle.Ready)
    private val granted = Event.PermissionIs(Permission.GRANTED)
    private val preview = after(ready, granted).state
    private val reading = after(Event.Shutter, from = preview).state
    private val enhancing = after(Event.TileDone(1, 9), from = reading).state
    private val result = after(Event.Enhanced(20, 30, false), from = enhancing).state

    @Test
    fun startsWithThePreview() = assertEquals(Screen.Preview(true), preview.screen)

    @Test
    fun asksForTheCameraOnceABundleIsThere() {
        assertEquals(emptyList(), after().effects)
        val step = after(ready)
        assertEquals(Screen.Starting, step.state.screen)
        assertEquals(listOf(Effect.ASK_PERMISSION), step.effects)
        assertEquals(emptyList(), after(granted, ready).effects)
    }

    @Test
    fun aDeniedPermissionHasAScreenFromWhichPicturesCanStillBePicked() {
        val denied = after(ready, Event.PermissionIs(Permission.DENIED)).state
        assertEquals(Screen.Problem(ProblemKind.PERMISSION_DENIED), denied.screen)
        assertEquals(listOf(Effect.ASK_PERMISSION), after(Event.Do(Action.ALLOW_CAMERA), from = denied).effects)
        val picking = after(Event.Do(Action.PICK), from = denied)
        assertEquals(Screen.Reading, picking.state.screen)
        assertEquals(listOf(Effect.PICK_PICTURE), picking.effects)
        assertEquals(Screen.Preview(true), after(granted, from = denied).state.screen)
    }

    @Test
    fun aBlockedPermissionLeadsToTheSettings() {
        val blocked = after(ready, Event.PermissionIs(Permission.BLOCKED)).state
        assertEquals(Screen.Problem(ProblemKind.PERMISSION_BLOCKED), blocked.screen)
        assertEquals(listOf(Effect.OPEN_SETTINGS), after(Event.Do(Action.OPEN_SETTINGS), from = blocked).effects)
        assertEquals(Screen.Preview(true), after(granted, from = blocked).state.screen)
    }

    @Test
    fun noCameraHasAScreen() = assertEquals(Screen.Problem(ProblemKind.NO_CAMERA), after(Event.CameraMissing, from = preview).state.screen)

    @Test
    fun withoutAnyBundleNothingIsAskedFor() {
        val step = after(Event.BundlesRead(missing, missing))
        assertEquals(Screen.Problem(ProblemKind.NO_BUNDLE, missing.line), step.state.screen)
        assertEquals(emptyList(), step.effects)
        assertEquals(emptyList(), ProblemKind.NO_BUNDLE.actions)
    }

    @Test
    fun aBrokenBundleSaysWhy() {
        assertEquals(Screen.Problem(ProblemKind.BROKEN_BUNDLE, broken.line), after(Event.BundlesRead(missing, broken)).state.screen)
        assertEquals(Screen.Problem(ProblemKind.BROKEN_BUNDLE, broken.line), after(Event.BundlesRead(broken, missing)).state.screen)
    }

    @Test
    fun eachRoleWorksWithoutTheOther() {
        val onlyCapture = after(Event.BundlesRead(missing, Bundle.Ready), granted).state
        assertEquals(Screen.Preview(false, missing.line), onlyCapture.screen)
        assertEquals(listOf(Effect.TAKE_PICTURE), after(Event.Shutter, from = onlyCapture).effects)
        val onlyPreview = after(Event.BundlesRead(Bundle.Ready, missing), granted).state
        assertEquals(Screen.Preview(true), onlyPreview.screen)
        val step = after(Event.Shutter, from = onlyPreview)
        assertEquals(Screen.Problem(ProblemKind.NO_CAPTURE_BUNDLE, missing.line), step.state.screen)
        assertEquals(emptyList(), step.effects)
        assertEquals(Screen.Preview(true), after(Event.Back, from = step.state).state.screen)
    }

    @Test
    fun aPictureGoesThroughAllScreens() {
        assertEquals(Screen.Reading, reading.screen)
        assertEquals(Screen.Enhancing(1, 9), enhancing.screen)
        assertEquals(Screen.Result(20, 30, false), result.screen)
        val saving = after(Event.Save, from = result)
        assertEquals(listOf(Effect.SAVE), saving.effects)
        val saved = after(Event.SaveEnded(null), from = saving.state).state
        assertEquals(Screen.Result(20, 30, false, Saving.DONE), saved.screen)
        val left = after(Event.Back, from = saved)
        assertEquals(Screen.Preview(true), left.state.screen)
        assertEquals(listOf(Effect.FORGET_PICTURE), left.effects)
    }

    @Test
    fun savingHappensOnce() {
        val saving = after(Event.Save, from = result).state
        assertEquals(Step(saving), after(Event.Save, from = saving))
        assertEquals(Step(saving), after(Event.Back, from = saving))
        val failed = after(Event.SaveEnded("no space"), from = saving).state
        assertEquals(Screen.Result(20, 30, false, Saving.FAILED, "no space"), failed.screen)
        assertEquals(listOf(Effect.SAVE), after(Event.Save, from = failed).effects)
        val saved = after(Event.SaveEnded(null), from = saving).state
        assertEquals(Step(saved), after(Event.Save, from = saved))
    }

    @Test
    fun cancelAndBackStopTheWorkAndWhatComesLateChangesNothing() {
        for (event in listOf(Event.Cancel, Event.Back)) {
            val stopped = after(event, from = enhancing)
            assertEquals(Screen.Preview(true), stopped.state.screen)
            assertEquals(listOf(Effect.STOP_WORK), stopped.effects)
            for (late in listOf(Event.TileDone(2, 9), Event.Enhanced(1, 1, false), Event.Failed(ProblemKind.MODEL_FAILED, "x"), Event.Save, Event.Cancel)) {
                assertEquals(Step(stopped.state), after(late, from = stopped.state), "$late")
            }
        }
    }

    @Test
    fun goingBackFromTheGalleryWithoutAPictureEndsTheWait() {
        assertEquals(Screen.Preview(true), after(Event.NoPicture, from = reading).state.screen)
        for (state in listOf(preview, enhancing, result)) assertEquals(Step(state), after(Event.NoPicture, from = state))
    }

    @Test
    fun failuresHaveTheirScreensAndLeadBack() {
        for (kind in listOf(ProblemKind.UNREADABLE_PICTURE, ProblemKind.LOW_MEMORY, ProblemKind.MODEL_FAILED)) {
            val failed = after(Event.Failed(kind, "why"), from = enhancing)
            assertEquals(Screen.Problem(kind, "why"), failed.state.screen)
            assertEquals(listOf(Effect.FORGET_PICTURE), failed.effects)
            assertEquals(Screen.Preview(true), after(Event.Back, from = failed.state).state.screen)
        }
    }

    @Test
    fun aLivePreviewThatFailsLeavesTheFinder() {
        val state = after(Event.PreviewFailed("why"), from = preview).state
        assertEquals(Screen.Preview(false, "why"), state.screen)
        for (other in listOf(reading, enhancing, result)) assertEquals(Step(other), after(Event.PreviewFailed("why"), from = other))
        assertEquals(listOf(Effect.TAKE_PICTURE), after(Event.Shutter, from = state).effects)
    }

    @Test
    fun aCameraThatStopsIsShownUnlessItDoesNotMatter() {
        for (state in listOf(preview, reading)) {
            val failed = after(Event.Failed(ProblemKind.CAMERA_FAILED, "why"), from = state).state
            assertEquals(Screen.Problem(ProblemKind.CAMERA_FAILED, "why"), failed.screen)
            assertEquals(Screen.Preview(true), after(Event.Do(Action.BACK), from = failed).state.screen)
        }
        for (state in listOf(enhancing, result)) assertEquals(state, after(Event.Failed(ProblemKind.CAMERA_FAILED, "why"), from = state).state)
    }

    @Test
    fun littleMemoryGivesUpWorkButKeepsAResult() {
        val low = after(Event.MemoryLow, from = enhancing)
        assertEquals(Screen.Problem(ProblemKind.LOW_MEMORY), low.state.screen)
        assertEquals(listOf(Effect.STOP_WORK), low.effects)
        assertEquals(Step(result), after(Event.MemoryLow, from = result))
        assertEquals(Step(preview), after(Event.MemoryLow, from = preview))
    }

    @Test
    fun newFactsDoNotDisturbWork() {
        for (state in listOf(reading, enhancing, result)) {
            assertEquals(state.screen, after(ready, from = state).state.screen)
            assertEquals(state.screen, after(Event.PermissionIs(Permission.DENIED), from = state).state.screen)
        }
        // ... but hold afterwards.
        val denied = after(Event.PermissionIs(Permission.DENIED), Event.Back, from = result).state
        assertEquals(Screen.Problem(ProblemKind.PERMISSION_DENIED), denied.screen)
    }

    @Test
    fun backLeavesFromTheFirstScreensOnly() {
        assertEquals(listOf(Effect.LEAVE), after(Event.Back, from = preview).effects)
        assertEquals(listOf(Effect.LEAVE), after(ready, Event.PermissionIs(Permission.DENIED), Event.Back).effects)
        for (state in listOf(reading, enhancing, result)) assertTrue(Effect.LEAVE !in after(Event.Back, from = state).effects)
        for (state in listOf(State(), preview, reading, enhancing, result)) {
            assertEquals(Effect.LEAVE !in after(Event.Back, from = state).effects, Screen.takesBack(state.screen), "${state.screen}")
        }
    }

    @Test
    fun buttonsThatAreNotShownDoNothing() {
        for (action in Action.values()) if (action != Action.PICK) assertEquals(Step(preview), after(Event.Do(action), from = preview), "$action")
        assertEquals(Step(enhancing), after(Event.Do(Action.PICK), from = enhancing))
        assertEquals(Step(enhancing), after(Event.Shutter, from = enhancing))
    }

    /** Whatever comes in whatever order, there is a screen, and a problem that is not about the app as a whole can be left. */
    @Test
    fun noOrderOfEventsGetsStuck() {
        val events =
            listOf(
                ready, granted, Event.BundlesRead(missing, broken), Event.PermissionIs(Permission.BLOCKED), Event.CameraMissing, Event.Shutter,
                Event.Do(Action.PICK), Event.NoPicture, Event.TileDone(1, 2), Event.Enhanced(1, 1, true), Event.Cancel, Event.Save, Event.SaveEnded(null),
                Event.SaveEnded("x"), Event.Failed(ProblemKind.MODEL_FAILED, "x"), Event.Failed(ProblemKind.CAMERA_FAILED, null), Event.PreviewFailed("x"),
                Event.MemoryLow, Event.Back,
            )
        val random = kotlin.random.Random(1)
        repeat(500) {
            var state = State()
            repeat(60) { state = Machine.next(state, events.random(random)).state }
            val settled = listOf(Event.SaveEnded(null), Event.Back, ready).fold(state) { at, event -> Machine.next(at, event).state }
            assertTrue(settled.screen is Screen.Preview || settled.screen is Screen.Problem || settled.screen is Screen.Starting, "$state")
        }
    }

    @Test
    fun everyProblemThatBlocksTheFinderOffersPictures() {
        for (kind in listOf(ProblemKind.PERMISSION_DENIED, ProblemKind.PERMISSION_BLOCKED, ProblemKind.NO_CAMERA)) assertTrue(Action.PICK in kind.actions)
        assertIs<Screen.Problem>(after(Event.Failed(ProblemKind.LOW_MEMORY, null), from = reading).state.screen)
    }
}
