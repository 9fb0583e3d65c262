/** Everything that Home Assistant's frontend loads of KITTY. */
import "./panel";
import "./cards";
