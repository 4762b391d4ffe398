package truth

func init() { eventsAtOnce, eventsOfCell = 2, 1 } // so that each test reads several times
