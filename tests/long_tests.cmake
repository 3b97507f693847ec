# Tests that take longest, as ctest reads it: they begin first, so that no core is left with one at the end.
set_tests_properties(
  KilledRun.AtAnyMomentGoesOn
  KilledSave.AtEachOfItsCallsGoesOn
  KilledSave.OnAFullDiskIsOneLineAndGoesOnLater
  Program.TrainsOnTheRealReviews
  RuntimeTraining.AnyAllocationMayFail
  PROPERTIES COST 100)
